/**
 * What a keytab file holds (MIT Kerberos, "Keytab file format", version 2): whose keys, which versions of them, of which
 * kind. The keys themselves are passed over; only libkrb5 reads them.
 */

import { StorageError } from '../../../gateway/core/errors.ts'

export interface KeytabEntry {
  /** As HTTP/gw.desy.de@DESY.DE. */
  readonly principal: string
  /** Version of the key (kvno). */
  readonly version: number
  /** Encryption type (RFC 3961, section 8): 17 and 18 are AES, 23 is RC4. */
  readonly type: number
}

const maxEntries = 10_000

/** Throws `invalid` for what is no such file. */
export function parseKeytab(bytes: Buffer): readonly KeytabEntry[] {
  if (bytes.length < 2 || bytes.readUInt16BE(0) !== 0x0502) throw wrong('is no keytab file of version 2')
  const entries: KeytabEntry[] = []
  let at = 2
  while (at + 4 <= bytes.length) {
    const size = bytes.readInt32BE(at)
    at += 4
    const end = at + Math.abs(size)
    // The file may end in zeros.
    if (size === 0) break
    if (end > bytes.length) throw wrong('ends too early')
    // A negative size is a hole that an entry has left.
    if (size > 0) entries.push(entryOf(bytes.subarray(at, end)))
    if (entries.length > maxEntries) throw wrong(`holds more than ${maxEntries} keys`)
    at = end
  }
  return entries
}

function entryOf(bytes: Buffer): KeytabEntry {
  let at = 0
  const number = (size: 1 | 2 | 4): number => {
    if (at + size > bytes.length) throw wrong('has an entry that ends too early')
    at += size
    return bytes.readUIntBE(at - size, size)
  }
  const counted = (): string => {
    const length = number(2)
    if (at + length > bytes.length) throw wrong('has an entry that ends too early')
    at += length
    return bytes.toString('latin1', at - length, at)
  }
  const count = number(2)
  const realm = counted()
  const components: string[] = []
  for (let index = 0; index < count; index++) components.push(counted())
  // The type of the name, and when the key was written.
  number(4)
  number(4)
  const short = number(1)
  const type = number(2)
  const length = number(2)
  at += length
  const version = at + 4 <= bytes.length ? number(4) : 0
  return { principal: `${components.join('/')}@${realm}`, version: version === 0 ? short : version, type }
}

function wrong(text: string): StorageError {
  return new StorageError('invalid', text)
}
