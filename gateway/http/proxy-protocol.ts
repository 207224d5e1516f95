/** The PROXY protocol, versions 1 and 2 (HAProxy documentation, proxy-protocol.txt), receiving side. */

import { isIP, type Socket } from 'node:net'

/** What a proxy says of the connection it passes on. */
export interface ProxiedPeer {
  /** The caller's address; undefined for the proxy's own connections (LOCAL, UNKNOWN). */
  readonly address: string | undefined
  /** The caller reached the proxy over TLS; undefined when it does not say. */
  readonly tls: boolean | undefined
}

/** Not enough bytes yet. */
export const incomplete = 'incomplete'
/** Not a PROXY header. */
export const malformed = 'malformed'

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const maxV1Bytes = 107
const maxV2Bytes = 16 + 2048
const nobody: ProxiedPeer = { address: undefined, tls: undefined }

type Parsed = { readonly peer: ProxiedPeer; readonly bytes: number } | typeof incomplete | typeof malformed

/** Reads a header off the front of `data`. */
export function parseProxyHeader(data: Buffer): Parsed {
  const compared = Math.min(data.length, signature.length)
  if (data.subarray(0, compared).equals(signature.subarray(0, compared))) {
    return data.length < 16 ? incomplete : parseV2(data)
  }
  return parseV1(data)
}

function parseV1(data: Buffer): Parsed {
  const start = data.toString('latin1', 0, Math.min(data.length, 6))
  if (!'PROXY '.startsWith(start)) return malformed
  const end = data.indexOf('\r\n')
  if (end < 0) return data.length < maxV1Bytes ? incomplete : malformed
  if (end + 2 > maxV1Bytes) return malformed
  const bytes = end + 2
  const [, family, source = '', , sourcePort, , more] = data.toString('latin1', 0, end).split(' ')
  if (family === 'UNKNOWN') return { peer: nobody, bytes }
  const expected = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0
  if (expected === 0 || isIP(source) !== expected || !/^\d{1,5}$/.test(sourcePort ?? '') || more !== undefined) {
    return malformed
  }
  return { peer: { address: source, tls: undefined }, bytes }
}

function parseV2(data: Buffer): Parsed {
  const version = data.readUInt8(12)
  const family = data.readUInt8(13)
  const bytes = 16 + data.readUInt16BE(14)
  if (version >> 4 !== 2 || (version & 0xf) > 1 || bytes > maxV2Bytes) return malformed
  if (data.length < bytes) return incomplete
  // LOCAL: a health check of the proxy itself.
  if ((version & 0xf) === 0) return { peer: nobody, bytes }
  const block = data.subarray(16, bytes)
  if (family === 0x11 && block.length >= 12) {
    return { peer: { address: block.subarray(0, 4).join('.'), tls: tlsOf(block.subarray(12)) }, bytes }
  }
  if (family === 0x21 && block.length >= 36) {
    return { peer: { address: ipv6(block.subarray(0, 16)), tls: tlsOf(block.subarray(36)) }, bytes }
  }
  return family === 0 ? { peer: nobody, bytes } : malformed
}

function ipv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16))
  // The URL parser knows the canonical form.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

/** PP2_TYPE_SSL (0x20): bit 0 of its first byte says that the client used TLS. */
function tlsOf(extensions: Buffer): boolean | undefined {
  let at = 0
  while (at + 3 <= extensions.length) {
    const length = extensions.readUInt16BE(at + 1)
    if (extensions.readUInt8(at) === 0x20 && length > 0 && at + 3 < extensions.length) {
      return (extensions.readUInt8(at + 3) & 1) === 1
    }
    at += 3 + length
  }
  return undefined
}

/**
 * Takes the header off a fresh connection and leaves everything after it to be read. Resolves with
 * undefined, the socket destroyed, when there is none within `timeout` ms.
 */
export async function receiveProxyHeader(socket: Socket, timeout: number): Promise<ProxiedPeer | undefined> {
  const { promise, resolve } = Promise.withResolvers<ProxiedPeer | undefined>()
  let data = Buffer.alloc(0)
  const read = () => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) data = Buffer.concat([data, chunk])
    const parsed = parseProxyHeader(data)
    if (parsed === incomplete) return
    // Giving bytes back makes the socket readable again.
    socket.off('readable', read)
    if (parsed === malformed) return resolve(undefined)
    if (parsed.bytes < data.length) socket.unshift(data.subarray(parsed.bytes))
    resolve(parsed.peer)
  }
  const fail = () => resolve(undefined)
  const timer = setTimeout(fail, timeout)
  socket.on('readable', read).once('error', fail).once('end', fail).once('close', fail)
  const peer = await promise
  clearTimeout(timer)
  socket.off('readable', read).off('error', fail).off('end', fail).off('close', fail)
  if (!peer) socket.destroy()
  return peer
}
