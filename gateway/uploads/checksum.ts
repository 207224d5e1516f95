/** The tus extension Checksum: what a sender says of the bytes of one request. */

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'
import type { BodyCheck } from './taking.ts'

interface Sum {
  update(bytes: Buffer): void
  digest(): Buffer
}

const hash = (name: string) => (): Sum => {
  const running = createHash(name)
  return { update: (bytes) => void running.update(bytes), digest: () => running.digest() }
}

/** Most significant byte first, as ISO 3309 writes it. */
function cyclic(): Sum {
  let running = 0
  return {
    update: (bytes) => {
      running = crc32(bytes, running)
    },
    digest: () => {
      const value = Buffer.alloc(4)
      value.writeUInt32BE(running)
      return value
    },
  }
}

const algorithms: ReadonlyMap<string, { readonly bytes: number; readonly make: () => Sum }> = new Map([
  ['sha1', { bytes: 20, make: hash('sha1') }],
  ['sha256', { bytes: 32, make: hash('sha256') }],
  ['sha512', { bytes: 64, make: hash('sha512') }],
  ['md5', { bytes: 16, make: hash('md5') }],
  ['crc32', { bytes: 4, make: cyclic }],
])

/** As in Tus-Checksum-Algorithm. */
export const checksumAlgorithms = [...algorithms.keys()].join(',')

/** Of the header Upload-Checksum. Throws `invalid` for what is no checksum of an algorithm that we know. */
export function parseChecksum(header: string | string[] | undefined): BodyCheck | undefined {
  if (header === undefined) return undefined
  const [, name = '', value = ''] =
    typeof header === 'string' ? (/^([A-Za-z0-9-]{1,16}) ([A-Za-z0-9+/]+={0,2})$/.exec(header) ?? []) : []
  const algorithm = algorithms.get(name.toLowerCase())
  if (!algorithm) throw new StorageError('invalid', `Upload-Checksum is one of ${checksumAlgorithms}, in base64`)
  const expected = Buffer.from(value, 'base64')
  if (expected.length !== algorithm.bytes) throw new StorageError('invalid', 'Upload-Checksum has the wrong length')
  const sum = algorithm.make()
  return {
    update: (bytes) => sum.update(bytes),
    finish: () => (sum.digest().equals(expected) ? undefined : mismatch()),
  }
}

/** tus 1.0, extension Checksum: 460 Checksum Mismatch. */
function mismatch(): HttpError {
  return new HttpError(460, 'bad-checksum', 'the bytes of this request are not those announced')
}
