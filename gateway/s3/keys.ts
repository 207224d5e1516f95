/** Keys on a tree: which keys name something here, and where. */

import { StorageError } from '../core/errors.ts'
import { maxNameBytes, type Path, parsePath } from '../core/path.ts'
import { S3Error } from './error.ts'
import type { Bucket } from './s3-request.ts'

/** Bytes of UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects"). */
export const maxKeyBytes = 1024

export interface Place {
  readonly key: string
  /** The key ends in a slash. */
  readonly asDirectory: boolean
  readonly path: Path
}

/**
 * Where a decoded key leads. Throws KeyTooLongError for a key, or a name in it, that is too long, and InvalidArgument for
 * one that no tree can hold: NUL, empty and dot segments. Two keys never lead to one place, but for a final slash.
 */
export function placeOf(bucket: Pick<Bucket, 'path'>, key: string): Place {
  requireKey(key)
  const asDirectory = key.endsWith('/')
  return { key, asDirectory, path: pathOf(bucket.path, asDirectory ? key.slice(0, -1) : key) }
}

function pathOf(top: Path, key: string): Path {
  try {
    return parsePath(top === '/' ? `/${key}` : `${top}/${key}`)
  } catch (error) {
    const { code } = StorageError.from(error)
    if (code === 'name-too-long') throw tooLong(key, maxNameBytes)
    throw error
  }
}

/** Throws as `placeOf`. */
export function requireKey(key: string): void {
  const bytes = key.length * 3 > maxKeyBytes ? Buffer.byteLength(key) : key.length
  if (bytes > maxKeyBytes) throw tooLong(key, maxKeyBytes)
  if (key === '') throw bad('A key is at least one character long.')
  if (key.includes('\0')) throw bad('A key must not hold a NUL.')
  if (!key.isWellFormed()) throw bad('A key must be valid Unicode.')
  const names = (key.endsWith('/') ? key.slice(0, -1) : key).split('/')
  for (const name of names) {
    if (name === '') throw bad('A key must not begin with a slash or hold two in a row: objects are files here.')
    if (name === '.' || name === '..')
      throw bad('A key must not hold the segments "." and "..": objects are files here.')
  }
}

function bad(text: string): S3Error {
  return new S3Error('InvalidArgument', text, { elements: { ArgumentName: 'key' } })
}

function tooLong(key: string, most: number): S3Error {
  const elements = { Size: String(Buffer.byteLength(key)), MaxSizeAllowed: String(most) }
  return new S3Error('KeyTooLongError', 'Your key, or a name in it, is too long.', { elements })
}
