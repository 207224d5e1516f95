/** One change for the ACLs of a whole tree. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Ace } from '../../acl/acl.ts'
import { aclToJson } from '../../acl/codec/json.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { aceText } from '../../acl/explain.ts'
import type { Client } from '../../mounts/client/client.ts'
import { type ErrorCode, StorageError } from '../core/errors.ts'
import { checkName, join, type Path } from '../core/path.ts'
import { type AclChange, changedInTree, diff, isSameList } from './acl-changes.ts'
import { treeMeter } from './acl-meter.ts'
import { exitCode, UsageError } from './exit.ts'
import { complain, harmless, jsonText, say, sayJson } from './output.ts'

export interface TreeOptions {
  /** Objects of the other kind stay as they are. */
  readonly only?: ObjectKind | undefined
  /** Nothing is changed; every difference is shown. */
  readonly dryRun: boolean
  /** One line of JSON for each object. */
  readonly json: boolean
}

/** Objects worked on at once. */
const atOnce = 8
/** Names of one way from the top that are held in memory. */
const mostNames = 2_000_000
/** Tries where somebody else has changed the object, or the gateway is busy. */
const tries = 4

/** What trying again may help. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['busy', 'unavailable', 'timeout'])
/** After these nothing else would go better. */
const fatal: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['unauthenticated', 'internal', 'cancelled'])

/**
 * Changes the ACL at `top` and of everything below, each under the condition that it is as it was read. What is refused
 * is complained of, and the rest goes on. Symbolic links are neither followed nor changed. An interrupt lets the
 * requests under way end. Gives the exit code.
 */
export async function changeTree(client: Client, top: Path, change: AclChange, options: TreeOptions): Promise<number> {
  const work = new TreeChange(client, change, options)
  const stop = () => work.stop()
  // A second one ends the program as usual.
  process.once('SIGINT', stop)
  try {
    await work.run(top)
  } finally {
    process.removeListener('SIGINT', stop)
  }
  return work.code
}

type Outcome = 'changed' | 'unchanged' | 'refused'

class TreeChange {
  readonly #client: Client
  readonly #change: AclChange
  readonly #options: TreeOptions
  readonly #meter = treeMeter('acl')
  readonly #running = new Map<Path, Promise<unknown>>()
  readonly #counts = { found: 0, changed: 0, unchanged: 0, refused: 0, skipped: 0 }
  #names = 0
  readonly #interrupt = new AbortController()
  #failure: unknown

  constructor(client: Client, change: AclChange, options: TreeOptions) {
    this.#client = client
    this.#change = change
    this.#options = options
  }

  get code(): number {
    if (this.#interrupt.signal.aborted) return exitCode.interrupted
    return this.#counts.refused > 0 ? exitCode.failed : exitCode.done
  }

  /** Nothing more is begun. */
  stop(): void {
    this.#interrupt.abort()
  }

  async run(top: Path): Promise<void> {
    const { type } = await this.#client.rights(top)
    try {
      if (type === 'directory') await this.#directory(top)
      else if (type === 'file') await this.#begin(top, 'file')
      else throw new UsageError('this is neither a file nor a directory; symbolic links are not followed')
    } catch (thrown) {
      if (thrown instanceof UsageError) throw thrown
      this.#failure ??= thrown
    } finally {
      await Promise.all(this.#running.values())
      this.#meter.clear()
    }
    await this.#summary()
    if (this.#failure !== undefined) throw this.#failure
  }

  get #ended(): boolean {
    return this.#interrupt.signal.aborted || this.#failure !== undefined
  }

  /** What is in it comes before itself: the new ACL may not let us in any more. Unless it is the old one that does not. */
  async #directory(path: Path): Promise<void> {
    const found = await this.#list(path)
    const isClosed = found === undefined
    // Where neither can be done it is one refusal.
    if (isClosed && !(await this.#settle(path, 'directory'))) return
    const entries = found ?? (await this.#list(path, true)) ?? []
    this.#names += entries.length
    for (const { name, type } of entries) {
      if (this.#ended) break
      if (type === 'directory') await this.#directory(join(path, name))
      else if (type === 'file') await this.#begin(join(path, name), 'file')
      else this.#counts.skipped++
    }
    this.#names -= entries.length
    if (isClosed || this.#ended) return
    await this.#below(path)
    await this.#begin(path, 'directory')
  }

  /** Undefined where it cannot be listed; with `last` that is complained of. */
  async #list(path: Path, last = false) {
    const entries: Array<{ readonly name: string; readonly type: string }> = []
    try {
      for await (const { name, type } of this.#client.list(path)) {
        checkName(name)
        entries.push({ name, type })
        if (this.#names + entries.length > mostNames) {
          throw new StorageError('too-large', 'there are too many entries; take its directories one by one')
        }
      }
      return entries
    } catch (thrown) {
      const error = StorageError.from(thrown)
      if (fatal.has(error.code)) throw thrown
      if (last || error.code !== 'denied') this.#refuse(path, error.message)
      return last || error.code !== 'denied' ? [] : undefined
    }
  }

  /** Waits for a free hand, not for the end. */
  async #begin(path: Path, kind: ObjectKind): Promise<void> {
    while (this.#running.size >= atOnce) await Promise.race(this.#running.values())
    if (this.#ended) return
    const work = this.#settle(path, kind).finally(() => this.#running.delete(path))
    this.#running.set(path, work)
  }

  async #below(path: Path): Promise<void> {
    const start = path === '/' ? '/' : `${path}/`
    await Promise.all([...this.#running].flatMap(([each, work]) => (each.startsWith(start) ? [work] : [])))
  }

  /** Never rejects. Whether the object is as wanted now, or was to stay as it is. */
  async #settle(path: Path, kind: ObjectKind): Promise<boolean> {
    const { only } = this.#options
    if (only !== undefined && only !== kind) return true
    this.#counts.found++
    let settled = false
    try {
      const outcome = await this.#patiently(path, kind)
      this.#counts[outcome]++
      settled = true
    } catch (thrown) {
      const error = StorageError.from(thrown)
      if (thrown instanceof UsageError) this.#refuse(path, thrown.message)
      else if (fatal.has(error.code)) this.#failure ??= thrown
      else this.#refuse(path, error.message)
    }
    const { found, changed, unchanged, refused } = this.#counts
    this.#meter.show({ found, done: changed + unchanged, refused })
    return settled
  }

  async #patiently(path: Path, kind: ObjectKind): Promise<Outcome> {
    for (let left = tries; ; ) {
      try {
        return await this.#once(path, kind)
      } catch (thrown) {
        const { code, retryAfter = 1 } = StorageError.from(thrown)
        const again = code === 'precondition' || passing.has(code)
        if (!again || --left === 0 || this.#ended) throw thrown
        if (code === 'precondition') continue
        const { signal } = this.#interrupt
        // Nobody who interrupts waits for this: the refusal is told as it is then.
        await sleep(Math.min(retryAfter, 10) * 1000, undefined, { signal }).catch(() => {
          throw thrown
        })
      }
    }
  }

  async #once(path: Path, kind: ObjectKind): Promise<Outcome> {
    const { dryRun, json } = this.#options
    const { acl, etag } = await this.#client.getAcl(path)
    const aces = changedInTree(acl.aces, kind, this.#change)
    if (aces.length === 0) throw new UsageError('no entry would be left, which would lock everybody out')
    if (isSameList(acl.aces, aces)) {
      if (json) await sayJson({ path, outcome: 'unchanged' })
      return 'unchanged'
    }
    if (dryRun) return this.#show(path, acl.aces, aces)
    const stored = await this.#client.setAcl(path, { ...acl, aces }, etag)
    if (json) await sayJson({ path, outcome: 'changed', aces: aclToJson(stored.acl).aces })
    return 'changed'
  }

  async #show(path: Path, before: readonly Ace[], after: readonly Ace[]): Promise<Outcome> {
    const { actions } = await this.#client.rights(path)
    const may = actions.includes('write-acl')
    const lines = diff(before.map(aceText), after.map(aceText))
    this.#meter.clear()
    if (this.#options.json) await sayJson({ path, outcome: may ? 'would change' : 'would be refused', diff: lines })
    else await say(`# file: ${harmless(path)}\n${lines.join('\n')}`)
    if (may) return 'changed'
    throw new StorageError('denied', 'this would be refused: no right to change the ACL')
  }

  #refuse(path: Path, text: string): void {
    this.#counts.refused++
    this.#meter.clear()
    if (this.#options.json) process.stdout.write(`${jsonText({ path, outcome: 'refused', text })}\n`)
    complain(`${harmless(path)}: ${harmless(text)}`)
  }

  async #summary(): Promise<void> {
    const { changed, unchanged, refused, skipped } = this.#counts
    const interrupted = this.#ended
    if (this.#options.json) return sayJson({ changed, unchanged, refused, skipped, interrupted })
    const words = [
      `${changed} ${this.#options.dryRun ? 'would change' : 'changed'}`,
      `${unchanged} as wanted already`,
      ...(refused > 0 ? [`${refused} refused`] : []),
      ...(skipped > 0 ? [`${skipped} links and special files left alone`] : []),
    ]
    await say(`${interrupted ? 'Interrupted: ' : ''}${words.join(', ')}`)
  }
}
