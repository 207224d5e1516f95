/** What properties tell beyond the entry, asked of Storage where it is wanted. */

import type { Entry, Locality } from '../../backends/backend.ts'
import { type ErrorCode, StorageError } from '../core/errors.ts'
import type { Discovery } from '../core/locking.ts'
import type { Exchange } from '../http/exchange.ts'
import { type Extra, type Subject, toldDigests } from './properties.ts'

/** Of these nothing can be said of the property, not even that it is not there. */
const untold: ReadonlySet<ErrorCode> = new Set(['unavailable', 'timeout', 'busy', 'cancelled', 'internal'])

/** Undefined where the caller may not know it, or there is none. */
export async function optional<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof StorageError && !untold.has(error.code)) return undefined
    throw error
  }
}

/** The resource that was named. `discovery`: where locks are among the extras. */
export async function subjectOf(
  x: Exchange,
  entry: Entry,
  extras: ReadonlySet<Extra>,
  discovery: Promise<Discovery | undefined> | undefined,
): Promise<Subject> {
  const { call, path } = x
  const { storage } = x.door
  const subject = { entry, path, user: call.principal.user }
  if (extras.size === 0) return subject
  const ask = <T>(extra: Extra, question: () => Promise<T>) => (extras.has(extra) ? optional(question()) : undefined)
  const [rights, view, digests, usage, localities, locks] = await Promise.all([
    ask('rights', () => storage.rights(call, path)),
    ask('acl', () => storage.getAcl(call, path)),
    entry.type === 'file'
      ? ask('digests', () => storage.checksum(call, path, toldDigests, { keptOnly: true }))
      : undefined,
    ask('usage', () => storage.usage(call, path)),
    ask('locality', () => storage.locality(call, [path])),
    discovery,
  ])
  return {
    ...subject,
    rights: rights?.rights,
    acl: view?.acl,
    digests,
    usage,
    locality: localityOf(localities?.[0]),
    locks: locks?.(path, entry),
  }
}

/** Tells the locks of everything that this request speaks of; undefined where there are none at all. */
export async function discoveryOf({ call, door }: Exchange): Promise<Discovery | undefined> {
  const { locks } = door.storage
  return locks.available ? locks.discovery(call) : undefined
}

/** Undefined for what could not be told. */
export function localityOf(answer: Locality | StorageError | undefined): Locality | undefined {
  return typeof answer === 'string' ? answer : undefined
}
