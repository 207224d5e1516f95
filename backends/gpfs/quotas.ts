/** What room is left under several quotas at once: the smallest counts. */

import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Usage } from '../backend.ts'
import { Fresh } from './fresh.ts'
import type { FileSystemInfo, Quota, QuotaNumbers, QuotaSubject } from './providers.ts'

/** ms that a quota is believed, and how many are kept. */
const believed = 10_000
const kept = 4096

/** Quotas as Scale keeps them, asked for once by all who want them. */
export class Quotas {
  readonly #info: FileSystemInfo
  readonly #log: (message: string, cause?: unknown) => void
  readonly #told = new LRUCache<string, Fresh<Quota | undefined>>({ max: kept })

  constructor(info: FileSystemInfo, log: (message: string, cause?: unknown) => void) {
    this.#info = info
    this.#log = log
  }

  /** Of these subjects, as far as there are any. One that cannot be asked for is left out. Throws for a caller who has gone. */
  async of(subjects: readonly QuotaSubject[], signal: AbortSignal): Promise<readonly Quota[]> {
    const quotas = await Promise.all(subjects.map((subject) => this.#one(subject, signal)))
    return quotas.filter((quota) => quota !== undefined)
  }

  async #one(subject: QuotaSubject, signal: AbortSignal): Promise<Quota | undefined> {
    const key = JSON.stringify([subject.type, subject.name, subject.fileset])
    let told = this.#told.get(key)
    if (!told) {
      told = new Fresh(believed, (own) => this.#info.quotas(subject, own))
      this.#told.set(key, told)
    }
    try {
      return await told.get(signal)
    } catch (error) {
      if (StorageError.from(error).code === 'cancelled') throw error
      this.#log(`the quota of a ${subject.type} could not be asked for`, error)
      return undefined
    }
  }
}

/**
 * The usage under the quota that leaves the least room; what the file system as a whole says where none has a limit.
 * What was handed out to nodes and not reported back counts as used, as it does when a limit is enforced.
 */
export function tightest(quotas: readonly Quota[], whole: Usage): Usage {
  const bytes = least(quotas.map((quota) => quota.bytes))
  const files = least(quotas.map((quota) => quota.files))
  const { files: allFiles } = whole
  const counted = files ? { used: files.used, limit: files.limit } : allFiles
  if (!bytes) return { ...whole, ...(counted && { files: counted }) }
  const { used, limit, room } = bytes
  const available = whole.available === undefined ? room : Math.min(room, whole.available)
  return { used, limit, available, ...(counted && { files: counted }) }
}

interface Bound {
  readonly used: number
  readonly limit: number
  readonly room: number
}

function least(numbers: readonly QuotaNumbers[]): Bound | undefined {
  let found: Bound | undefined
  for (const { used, inDoubt, hardLimit, softLimit } of numbers) {
    // A soft limit alone stops writing after its days of grace.
    const limit = hardLimit ?? softLimit
    if (limit === undefined) continue
    const all = used + inDoubt
    const room = Math.max(0, limit - all)
    if (!found || room < found.room) found = { used: all, limit, room }
  }
  return found
}
