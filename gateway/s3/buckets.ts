/** Buckets are places in the namespace: named in the configuration, or directories below one root. */

import type { Entry } from '../../backends/backend.ts'
import type { Call } from '../core/call.ts'
import { StorageError } from '../core/errors.ts'
import { compareNames } from '../core/names.ts'
import { checkName, join, type Path, parsePath } from '../core/path.ts'
import type { StorageOperations } from '../core/storage.ts'
import { S3Error } from './error.ts'
import type { Bucket, BucketRequest } from './s3-request.ts'

/** Directories below the root that are looked at for a list. */
const maxListed = 100_000
/** Buckets that are looked at at a time for a list. */
const width = 8

/** A bucket that is there, for its caller. */
export interface SeenBucket extends Bucket {
  readonly entry: Entry
}

export interface BucketOptions {
  /** Names to paths; `{user}` in a path is the caller's own name. */
  readonly buckets: Readonly<Record<string, string>>
  readonly root: Path | undefined
  /** NFSv4 domain of local accounts: whoever is of another has no place of his own. */
  readonly domain: string
  readonly storage: StorageOperations
}

/** Rules of Amazon S3 for names of general purpose buckets, as far as they are about the name alone. */
export function isBucketName(name: string): boolean {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) return false
  return !name.includes('..') && !/^\d+\.\d+\.\d+\.\d+$/.test(name)
}

export class Buckets {
  readonly #fixed: ReadonlyMap<string, string>
  readonly #options: BucketOptions

  constructor(options: BucketOptions) {
    this.#fixed = new Map(Object.entries(options.buckets).toSorted(([a], [b]) => compareNames(a, b)))
    this.#options = options
  }

  /** The configuration names it: nobody makes or removes it. */
  isFixed(name: string): boolean {
    return this.#fixed.has(name)
  }

  /** Of a bucket that is the same for all callers. */
  fixedPlaceOf(name: string): Path | undefined {
    const template = this.#fixed.get(name)
    return template === undefined || template.includes('{user}') ? undefined : parsePath(template)
  }

  /** Where a bucket of this name would be made; undefined where none are. */
  placeFor(name: string): Path | undefined {
    const { root } = this.#options
    return root === undefined || this.isFixed(name) || !isBucketName(name) ? undefined : join(root, name)
  }

  /** Whether there is something at a bucket of the configuration is for the operation to find out. Throws as `stat`. */
  async find(call: Call, name: string): Promise<Bucket | undefined> {
    const template = this.#fixed.get(name)
    if (template !== undefined) {
      const path = this.#placeOf(call, template)
      return path && { name, path }
    }
    const path = this.placeFor(name)
    return path && this.#see(call, { name, path })
  }

  /** The bucket as it is; undefined if there is none. Throws as `stat`. */
  async see(call: Call, name: string): Promise<SeenBucket | undefined> {
    const template = this.#fixed.get(name)
    const path = template === undefined ? this.placeFor(name) : this.#placeOf(call, template)
    return path && this.#see(call, { name, path })
  }

  /** Those that the caller may look at, by name; from `after`, which is left out, at most `limit`. */
  async list(
    call: Call,
    { prefix = '', after = '', limit }: { readonly prefix?: string; readonly after?: string; readonly limit: number },
  ): Promise<readonly SeenBucket[]> {
    const names = [...this.#fixed.keys(), ...(await this.#made(call))]
    const wanted = names.filter((name) => name.startsWith(prefix) && name > after).toSorted(compareNames)
    const seen: SeenBucket[] = []
    for (let at = 0; at < wanted.length && seen.length < limit; at += width) {
      const names = wanted.slice(at, at + width)
      const buckets = await Promise.all(names.map((name) => this.see(call, name).catch(unlessUnseen)))
      seen.push(...buckets.filter((bucket) => bucket !== undefined))
    }
    return seen.slice(0, limit)
  }

  #placeOf({ principal }: Call, template: string): Path | undefined {
    if (!template.includes('{user}')) return parsePath(template)
    const { domain } = this.#options
    const name = principal.user?.endsWith(`@${domain}`) ? principal.user.slice(0, -domain.length - 1) : ''
    try {
      checkName(name)
      return parsePath(template.replaceAll('{user}', () => name))
    } catch {
      // Anonymous callers, and names that are none in a tree.
      return undefined
    }
  }

  async #see(call: Call, bucket: Bucket): Promise<SeenBucket | undefined> {
    try {
      const entry = await this.#options.storage.stat(call, bucket.path)
      return entry.type === 'directory' ? { ...bucket, entry } : undefined
    } catch (error) {
      const { code } = StorageError.from(error)
      if (code === 'not-found' || code === 'not-directory') return undefined
      throw error
    }
  }

  async #made(call: Call): Promise<readonly string[]> {
    const { root, storage } = this.#options
    if (root === undefined) return []
    const names: string[] = []
    try {
      const listed = await storage.list(call, root, { names: true })
      for await (const page of listed.pages()) {
        for (const { name, type } of page) {
          if (type === 'directory' && isBucketName(name) && !this.isFixed(name)) names.push(name)
        }
        if (names.length > maxListed) throw new StorageError('busy', 'there are too many buckets to list')
      }
    } catch (error) {
      unlessUnseen(error)
    }
    return names
  }
}

/** What a caller may not see, or is not there, is left out of a list. */
export function unlessHidden(error: unknown): undefined {
  const { code } = StorageError.from(error)
  if (code === 'denied' || code === 'unauthenticated' || code === 'not-found' || code === 'not-directory') return
  throw error
}

/** What does not answer is left out too: one storage that is down hides no other one. */
function unlessUnseen(error: unknown): undefined {
  const { code } = StorageError.from(error)
  if (code !== 'unavailable') unlessHidden(error)
}

/** Throws NoSuchBucket where there is no directory, and as `stat`. */
export async function requireBucket({ settings, call, bucket }: BucketRequest): Promise<void> {
  if (await settings.buckets.see(call, bucket.name)) return
  throw noSuchBucket(bucket.name)
}

/** A NoSuchBucket error. */
export function noSuchBucket(name: string): S3Error {
  return new S3Error('NoSuchBucket', 'The specified bucket does not exist.', { elements: { BucketName: name } })
}
