/**
 * Preconditions (RFC 9110, section 13), decided in one place for every protocol.
 *
 * Rights, existence and type come first (section 13.2.1): a precondition is looked at only where the
 * call would succeed without it.
 */

import type { CommitCondition, Entry } from '../../backends/backend.ts'
import { StorageError } from './errors.ts'
import type { Conditions } from './storage.ts'

/**
 * For reads, in the order of RFC 9110, section 13.2.2. Throws `precondition` where If-Match or
 * If-Unmodified-Since fails.
 */
export function isUnmodified(conditions: Conditions, entry: Entry): boolean {
  requireMatch(conditions, entry)
  const { ifNoneMatch, ifModifiedSince } = conditions
  if (ifNoneMatch !== undefined) return ifNoneMatch === '*' || ifNoneMatch.includes(entry.version)
  return ifModifiedSince !== undefined && secondsOf(entry) <= ifModifiedSince
}

/** For everything that changes something. Throws `precondition`. If-Modified-Since has no meaning here and is ignored. */
export function requireConditions(conditions: Conditions, entry: Entry | undefined): void {
  requireMatch(conditions, entry)
  const { ifNoneMatch } = conditions
  if (ifNoneMatch === undefined || entry === undefined) return
  if (ifNoneMatch === '*' || ifNoneMatch.includes(entry.version)) throw failed('the file is there already')
}

/**
 * What must still hold when the new bytes become visible. `entry` is what was seen when the conditions
 * were found to hold; conditions on times and "none of these versions" are pinned to it.
 */
export function commitCondition(conditions: Conditions, entry: Entry | undefined): CommitCondition {
  const { ifMatch, ifNoneMatch, ifUnmodifiedSince } = conditions
  if (ifNoneMatch === '*') return 'absent'
  const pinned = Array.isArray(ifNoneMatch) || (ifMatch === undefined && ifUnmodifiedSince !== undefined)
  if (pinned) return entry === undefined ? 'absent' : { versions: [entry.version] }
  if (ifMatch === '*') return 'present'
  return ifMatch === undefined ? 'any' : { versions: ifMatch as readonly string[] }
}

/** Whether the entry must be known before `commitCondition` can be told. */
export function needsLook(conditions: Conditions): boolean {
  const { ifMatch, ifNoneMatch, ifUnmodifiedSince } = conditions
  return Array.isArray(ifNoneMatch) || (ifMatch === undefined && ifUnmodifiedSince !== undefined)
}

function requireMatch({ ifMatch, ifUnmodifiedSince }: Conditions, entry: Entry | undefined): void {
  if (ifMatch !== undefined) {
    if (entry === undefined || (ifMatch !== '*' && !ifMatch.includes(entry.version))) {
      throw failed('the file is not the one that was meant')
    }
    return
  }
  // Without a file there is no modification date, so the field is ignored (RFC 9110, section 13.1.4).
  if (ifUnmodifiedSince !== undefined && entry !== undefined && secondsOf(entry) > ifUnmodifiedSince) {
    throw failed('the file has changed')
  }
}

/** HTTP dates have whole seconds, so the fraction does not count. */
function secondsOf(entry: Entry): number {
  return Number(entry.modified / 1_000_000_000n)
}

function failed(message: string): StorageError {
  return new StorageError('precondition', message)
}
