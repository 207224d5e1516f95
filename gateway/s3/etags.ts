/** Entity tags of S3 objects (Amazon S3 API Reference, "Object"), and comparing them. */

import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { parseEntityTags } from '../http/conditions.ts'
import { S3Error } from './error.ts'
import type { ObjectRecord } from './record.ts'

/** MD5 of nothing: of all objects that are directories. */
export const emptyEtag = 'd41d8cd98f00b204e9800998ecf8427e'

/**
 * Without quotes. The record's, where S3 has written the bytes; else one that changes with the bytes and that no tool takes
 * for an MD5, nor for the digest of parts, of which there never are none.
 */
export function etagOf(entry: Pick<Entry, 'type' | 'version'>, record: ObjectRecord | undefined): string {
  if (entry.type === 'directory') return emptyEtag
  return record?.etag ?? `${entry.version}-0`
}

export function quoted(etag: string): string {
  return `"${etag}"`
}

/** Tags of an If-Match or If-None-Match header, without quotes; clients also send them bare. Throws InvalidArgument. */
export function parseEtags(header: string): readonly string[] | '*' {
  const text = header.trim()
  if (text === '*') return '*'
  if (/^[\x21\x23-\x2b\x2d-\x7e]+$/.test(text)) return [text]
  try {
    const tags = parseEntityTags(text)
    return tags === '*' ? tags : tags.map(({ version }) => version)
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    throw new S3Error('InvalidArgument', 'The condition is not a list of entity tags.', { cause: error })
  }
}

/** Whether a condition names this tag. */
export function names(tags: readonly string[] | '*', etag: string): boolean {
  return tags === '*' || tags.includes(etag)
}
