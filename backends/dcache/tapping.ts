/**
 * Connections whose bytes can be taken before the HTTP parser sees them: of a long body with a known length nothing is
 * left to parse, and one large buffer filled again and again costs a fraction of a new one for each piece. Not over TLS,
 * which goes on giving what it has deciphered after it was told to stop, and in small pieces.
 */

import http from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Of what the parser gets. */
const pieceBytes = 64 * 1024
/** Of what is taken. */
const takenBytes = 512 * 1024

/** Where the bytes of a connection go. */
export interface Tap {
  /**
   * Gets the bytes in the place of the parser, which is left in the middle of its message: the connection must be
   * destroyed in the end. Unless it says true reading stops, and goes on with `resume` of the socket.
   */
  take: ((chunk: Uint8Array) => boolean) | undefined
  /** Chunks are good until the taker wants more; otherwise they belong to him. */
  isShared: boolean
}

const taps = new WeakMap<Duplex, Tap>()

/** The tap of a connection that one of the agents below has made. */
export function tapOf(socket: Socket): Tap | undefined {
  return taps.get(socket)
}

export class TappedAgent extends http.Agent {
  override createConnection(...[options, made]: Parameters<http.Agent['createConnection']>) {
    return tapped((onread) => super.createConnection({ ...options, ...onread }, made))
  }
}

function tapped(connect: (options: { readonly onread: object }) => Duplex | null | undefined) {
  const tap: Tap = { take: undefined, isShared: false }
  let shared: Buffer | undefined
  const buffer = () => {
    if (!tap.take) return Buffer.allocUnsafeSlow(pieceBytes)
    if (!tap.isShared) return Buffer.allocUnsafeSlow(takenBytes)
    shared ??= Buffer.allocUnsafeSlow(takenBytes)
    return shared
  }
  const callback = (length: number, bytes: Uint8Array): boolean => {
    const chunk = bytes.subarray(0, length)
    // A buffer is chosen before the read it is for, so that one may come from another time.
    const own = bytes === shared && !(tap.take && tap.isShared) ? Buffer.from(chunk) : chunk
    if (!tap.take) return socket?.push(own) ?? true
    return tap.take(own)
  }
  const socket = connect({ onread: { buffer, callback } })
  if (socket) taps.set(socket, tap)
  return socket
}
