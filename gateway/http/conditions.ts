/** Conditional requests (RFC 9110, section 13): headers to content versions. Storage decides. */

import type { IncomingHttpHeaders } from 'node:http'
import { StorageError } from '../core/errors.ts'
import type { Conditions } from '../core/storage.ts'
import { parseHttpDate } from './dates.ts'

/** The entity tag of a content version: always strong. */
export function etagOf(version: string): string {
  return `"${version}"`
}

interface EntityTag {
  readonly weak: boolean
  readonly version: string
}

/** Empty elements of the list are passed over (RFC 9110, section 5.6.1.2). */
const tag = /[ \t,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,[ \t,]*|$)/y
const maxTags = 256

/** A list of entity tags. Throws `invalid`: a condition that cannot be read must not be taken for true. */
export function parseEntityTags(text: string): readonly EntityTag[] | '*' {
  if (text.trim() === '*') return '*'
  const tags: EntityTag[] = []
  tag.lastIndex = 0
  while (tag.lastIndex < text.length) {
    const match = tag.exec(text)
    if (!match || tags.length === maxTags) throw new StorageError('invalid', 'not a list of entity tags')
    tags.push({ weak: match[1] !== undefined, version: match[2] ?? '' })
  }
  if (tags.length === 0) throw new StorageError('invalid', 'not a list of entity tags')
  return tags
}

/**
 * The conditions that count, by the precedence of RFC 9110, section 13.2.2; undefined when there are
 * none. Dates that cannot be read are ignored (section 13.1.3).
 */
export function parseConditions(headers: IncomingHttpHeaders, method: string): Conditions | undefined {
  const match = headers['if-match']
  const noneMatch = headers['if-none-match']
  const since = headers['if-modified-since']
  const unmodified = headers['if-unmodified-since']
  if (match === undefined && noneMatch === undefined && since === undefined && unmodified === undefined) {
    return undefined
  }
  const safe = method === 'GET' || method === 'HEAD'
  const ifMatch = match === undefined ? undefined : versionsOf(match, 'strong')
  const ifNoneMatch = noneMatch === undefined ? undefined : versionsOf(noneMatch, 'weak')
  const before = unmodified !== undefined && ifMatch === undefined ? parseHttpDate(unmodified) : undefined
  const after = since !== undefined && ifNoneMatch === undefined && safe ? parseHttpDate(since) : undefined
  return {
    ...(ifMatch !== undefined && { ifMatch }),
    ...(ifNoneMatch !== undefined && { ifNoneMatch }),
    ...(before !== undefined && { ifUnmodifiedSince: before }),
    ...(after !== undefined && { ifModifiedSince: after }),
  }
}

/** Strong comparison never matches a weak tag; weak comparison looks at the opaque part alone (section 8.8.3.2). */
function versionsOf(text: string, comparison: 'strong' | 'weak'): readonly string[] | '*' {
  const tags = parseEntityTags(text)
  if (tags === '*') return '*'
  return tags.filter((each) => comparison === 'weak' || !each.weak).map((each) => each.version)
}
