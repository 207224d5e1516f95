/**
 * A connection as whole LDAP messages. The library would put what has come together anew with every piece, and keep what never
 * becomes a message; here pieces are counted, and joined once.
 */

import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { isAnswer } from './shape.ts'

/** A message is a SEQUENCE with a definite length of at most four bytes (RFC 4511, section 5.1). */
const sequence = 0x30
const longestHead = 6

/** What is left of the answers that may still come. */
export interface Budget {
  bytes: number
}

/** Called for what is no LDAP, and for more than the budget allows. */
export type Offence = (kind: 'connection' | 'size') => void

/** Gives whole messages to whoever reads it, and passes on what is written. Destroyed with the socket, and the socket with it. */
export function framed(socket: Socket, budget: Budget, offend: Offence): Duplex {
  const duplex = new Duplex({
    read() {},
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done),
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy()
      done(error)
    },
  })
  const frames = new Frames()
  socket.on('data', (chunk: Buffer) => {
    budget.bytes -= chunk.length
    if (budget.bytes < 0) return offend('size')
    const messages = frames.take(chunk, budget.bytes)
    if (typeof messages === 'string') return offend(messages)
    if (!messages.every(isAnswer)) return offend('connection')
    for (const message of messages) duplex.push(message)
  })
  socket.once('close', () => duplex.destroy())
  return duplex
}

class Frames {
  #parts: Buffer[] = []
  #length = 0
  /** Of the message that is coming, head and all; undefined while its head is not complete. */
  #expected: number | undefined

  /** The messages that are complete now; or what is wrong. `most`: bytes that a message may still need. */
  take(chunk: Buffer, most: number): readonly Buffer[] | 'connection' | 'size' {
    const messages: Buffer[] = []
    let rest = chunk
    while (rest.length > 0) {
      if (this.#expected === undefined) {
        const head = Buffer.concat([...this.#parts, rest.subarray(0, longestHead)])
        const expected = lengthOf(head)
        if (expected === 'bad') return 'connection'
        if (expected === undefined) {
          this.#keep(rest)
          return messages
        }
        if (expected - this.#length - rest.length > most) return 'size'
        this.#expected = expected
      }
      const missing = this.#expected - this.#length
      this.#keep(rest.subarray(0, missing))
      if (rest.length < missing) return messages
      messages.push(this.#parts.length === 1 ? (this.#parts[0] ?? rest) : Buffer.concat(this.#parts))
      rest = rest.subarray(missing)
      this.#parts = []
      this.#length = 0
      this.#expected = undefined
    }
    return messages
  }

  #keep(part: Buffer): void {
    this.#parts.push(part)
    this.#length += part.length
  }
}

/** Bytes of the message that begins here; undefined while that cannot be told. */
function lengthOf(head: Buffer): number | 'bad' | undefined {
  const [tag, first] = head
  if (tag !== sequence) return 'bad'
  if (first === undefined) return undefined
  if (first < 0x80) return 2 + first
  const count = first & 0x7f
  if (count === 0 || count > 4) return 'bad'
  if (head.length < 2 + count) return undefined
  return 2 + count + head.readUIntBE(2, count)
}
