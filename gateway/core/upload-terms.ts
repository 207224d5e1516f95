/** What is kept of an upload besides its bytes, and what is told of it. */

import type { CommitCondition, Digest, Digests, Entry } from '../../backends/backend.ts'
import type { StoredUpload } from '../state/state.ts'
import type { Conditions, Written } from './storage.ts'
import type { UploadState } from './uploads.ts'

export interface Terms {
  /** What must hold when the file is made. */
  readonly condition: CommitCondition
  /** Digests to compute and keep. */
  readonly digests: readonly Digest[]
  readonly expected: Digests
  /** ns since 1970. */
  readonly modified: bigint | undefined
  readonly note: string | undefined
  /** `Principal.id` of who made it. */
  readonly by: string
}

/** JSON. */
export function textOfTerms({ expected, modified, ...same }: Terms): string {
  return JSON.stringify({ ...same, expected: textOfDigests(expected), modified: modified?.toString() })
}

export function termsOf({ terms }: Pick<StoredUpload, 'terms'>): Terms {
  const { expected, modified, ...same } = JSON.parse(terms)
  return { ...same, expected: digestsOf(expected), modified: modified === undefined ? undefined : BigInt(modified) }
}

/** The kinds of digest that a finished upload needs. */
export function kindsOf({ digests, expected }: Terms): readonly Digest[] {
  return [...new Set([...digests, ...(Object.keys(expected) as Digest[])])]
}

/** The same, as a caller would ask for it. */
export function conditionsOf({ condition }: Terms): Conditions {
  if (condition === 'any') return {}
  if (condition === 'absent') return { ifNoneMatch: '*' }
  return { ifMatch: condition === 'present' ? '*' : condition.versions }
}

/** JSON of how an upload ended; without the ACL and the time of access, which are as they are now. */
export function textOfWritten({ entry, created, digests }: Written): string {
  const { acl: _, accessed: __, modified, changed, ...rest } = entry
  return JSON.stringify({
    entry: { ...rest, modified: modified.toString(), changed: changed.toString() },
    created,
    digests: textOfDigests(digests),
  })
}

export function writtenOf(text: string): Written {
  const { entry, created, digests } = JSON.parse(text)
  const whole: Entry = { ...entry, modified: BigInt(entry.modified), changed: BigInt(entry.changed) }
  return { entry: whole, created, digests: digestsOf(digests) }
}

/** A draft in which parts are joined, beside the one that they came to. */
export interface Attempt {
  readonly place: string
  /** `LastingDraft.id`; absent as long as none is known to be there. */
  readonly object?: string
}

export function textOfAttempt({ place, object }: Attempt): string {
  return JSON.stringify({ place, object })
}

export function attemptOf(text: string): Attempt {
  return JSON.parse(text)
}

export function stateOf(row: StoredUpload): UploadState {
  const { id, path, offset, length, user } = row
  return {
    ...{ id, path, offset, length, user },
    created: Math.floor(row.created / 1000),
    expires: Math.floor(row.expires / 1000),
    complete: row.result !== undefined,
    note: termsOf(row).note,
  }
}

export function textOfDigests(digests: Digests): Record<string, string> {
  return Object.fromEntries(
    Object.entries(digests).map(([kind, bytes]) => [kind, Buffer.from(bytes).toString('base64')]),
  )
}

export function digestsOf(texts: Readonly<Record<string, string>>): Digests {
  return Object.fromEntries(Object.entries(texts).map(([kind, text]) => [kind, Buffer.from(text, 'base64')]))
}
