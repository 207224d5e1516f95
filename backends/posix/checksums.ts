/** Digests of files: kept with the version they were made of, or computed from the bytes and then kept. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { ChecksumFacet, Digest, Digests, Entry, Pending, Trail } from '../backend.ts'
import { digestKinds, startDigest } from '../digesting.ts'
import { type Caller, type Desk, lookInto, pendingOf } from './desk.ts'
import type { Handle } from './handles.ts'
import { changeKept, readKept } from './kept.ts'
import { requireFile } from './requiring.ts'

/** Bytes read and digested at a time: what the event loop waits for. */
const chunkBytes = 256 * 1024

export class FileChecksums implements ChecksumFacet {
  readonly kinds = digestKinds
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async kept(path: Path, call: Call): Promise<Pending<Digests>> {
    const caller = this.#desk.caller(call)
    const { trail, object } = await lookInto(this.#desk, path, caller)
    const proceed = async () => {
      const { version } = requireFile(trail, path)
      return object ? (await readKept(this.#desk, object, version, caller)).digests : {}
    }
    return pendingOf(trail, proceed, object)
  }

  async compute(path: Path, kinds: readonly Digest[], call: Call): Promise<Pending<Digests>> {
    const caller = this.#desk.caller(call)
    const { trail, object } = await lookInto(this.#desk, path, caller)
    const proceed = async () => {
      const entry = requireFile(trail, path)
      return object ? this.#compute({ trail, object, entry }, kinds, caller) : {}
    }
    return pendingOf(trail, proceed, object)
  }

  async #compute(
    { trail, object, entry }: { readonly trail: Trail; readonly object: Handle; readonly entry: Entry },
    kinds: readonly Digest[],
    caller: Caller,
  ): Promise<Digests> {
    const { version } = entry
    const { digests: kept } = await readKept(this.#desk, object, version, caller)
    const missing = kinds.filter((kind) => kept[kind] === undefined)
    const made = missing.length > 0 ? await this.#read(object, entry, missing, caller) : {}
    if (missing.length > 0) await this.#keep({ trail, object, version }, made, caller)
    return Object.fromEntries(kinds.map((kind) => [kind, kept[kind] ?? made[kind]]))
  }

  async #keep(file: Parameters<typeof changeKept>[1], made: Digests, caller: Caller): Promise<void> {
    try {
      await changeKept(this.#desk, file, (kept) => ({ ...kept, digests: { ...kept.digests, ...made } }), caller)
    } catch (error) {
      // They are true whether kept or not. Reading a file does not take the right to write its attributes.
      this.#desk.log(`${this.#desk.name}: digests could not be kept`, error)
    }
  }

  /** One pass over the bytes, all of the version that was seen; else `stale`. */
  async #read(object: Handle, entry: Entry, kinds: readonly Digest[], caller: Caller): Promise<Digests> {
    const { name, version } = entry
    const opened = await this.#desk.run('reopen', { object: object.ref, name }, caller)
    const file = this.#desk.adoptFile(opened.fd)
    try {
      await tickAfter(entry.modified)
      const digests = kinds.map((kind) => ({ kind, digest: startDigest(kind) }))
      const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, Math.max(1, entry.size)))
      for (let at = 0; at < entry.size; ) {
        const count = await this.#desk.share.read(file.ref.fd, buffer, 0, buffer.length, at, caller.signal)
        if (count === 0) break
        for (const { digest } of digests) digest.update(buffer.subarray(0, count))
        at += count
      }
      const after = await this.#desk.run('restat', { file: file.ref, name }, caller)
      if (this.#desk.entry(after.entry, after).version !== version) {
        throw new StorageError('stale', 'the file changed while it was read')
      }
      return Object.fromEntries(digests.map(({ kind, digest }) => [kind, digest.digest()]))
    } finally {
      file.release()
    }
  }
}

/** ms. Times of files have the precision of the kernel's clock, which ticks at least a hundred times a second. */
const tick = 20

/** What is written after this has another time, and so another version, than what was written before. */
async function tickAfter(modified: bigint): Promise<void> {
  const age = Date.now() - Number(modified / 1_000_000n)
  if (age >= 0 && age < tick) await sleep(tick - age)
}
