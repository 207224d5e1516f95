/** Which file a new upload becomes: by the URL, or by the metadata that tus clients send. */

import { StorageError } from '../core/errors.ts'
import { checkName, join, type Path, parsePath, root } from '../core/path.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { uploadsPrefix } from './fields.ts'

/** Characters of Upload-Metadata: a path of 4,096 bytes in base64 and some more. */
export const longestMetadata = 7168

/**
 * Upload-Metadata (tus 1.0, extension Creation): keys with values in base64, or with none. Throws `invalid`; values that
 * are not UTF-8 are only refused where somebody asks for them.
 */
export function parseMetadata(header: string | string[] | undefined): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>()
  if (header === undefined) return found
  const text = String(header)
  if (text.length > longestMetadata) throw new HttpError(431, 'too-large', 'Upload-Metadata is too long')
  for (const part of text.split(',')) {
    const [, key = '', value = ''] = /^ ?([\x21-\x2b\x2d-\x7e]+)(?: ([A-Za-z0-9+/]*={0,2}))?$/.exec(part) ?? []
    const bytes = Buffer.from(value, 'base64')
    if (key === '' || found.has(key) || bytes.toString('base64') !== value) {
      throw new StorageError('invalid', 'Upload-Metadata is not a list of keys and base64')
    }
    found.set(key, bytes)
  }
  return found
}

/**
 * The file that a request below the endpoint makes. The URL of the endpoint alone needs metadata `path`, an absolute path
 * in the namespace. Below it, a URL with a final slash is the directory, and metadata `filename` or `name` the file in it, as
 * Uppy sends it; one without a slash is the file. Throws `invalid` and `name-too-long`.
 */
export function targetOf(x: Exchange, metadata: ReadonlyMap<string, Buffer>): Path {
  const path = textOf(metadata.get('path'))
  const rest = x.path.slice(uploadsPrefix.length)
  if (rest === '') {
    if (path === undefined) throw new StorageError('invalid', 'neither the URL nor the metadata names a path')
    return fileAt(path)
  }
  if (path !== undefined) throw new StorageError('invalid', 'both the URL and the metadata name a path')
  if (!x.slash) return fileAt(rest)
  const name = textOf(metadata.get('filename') ?? metadata.get('name'))
  if (name === undefined) throw new StorageError('invalid', 'the metadata names no file')
  checkName(name)
  return fileAt(join(parsePath(rest), name))
}

function fileAt(text: string): Path {
  const path = parsePath(text)
  if (path === root || text.endsWith('/')) throw new StorageError('invalid', 'the path is that of a directory')
  return path
}

function textOf(bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new StorageError('invalid', 'the metadata is not UTF-8', { cause })
  }
}
