/** Digests of files: kept with the version they were made of, or computed from the bytes and then kept. */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { ChecksumFacet, Digest, Digests, Entry, Pending } from '../backend.ts'
import { digestKinds, startDigest } from '../digesting.ts'
import { type Caller, type Desk, lookInto, pendingOf } from './desk.ts'
import type { Handle } from './handles.ts'
import { readDigests, writeDigests } from './kept-digests.ts'
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
      return object ? readDigests(this.#desk, object, version, caller) : {}
    }
    return pendingOf(trail, proceed, object)
  }

  async compute(path: Path, kinds: readonly Digest[], call: Call): Promise<Pending<Digests>> {
    const caller = this.#desk.caller(call)
    const { trail, object } = await lookInto(this.#desk, path, caller)
    const proceed = async () => {
      const entry = requireFile(trail, path)
      return object ? this.#compute(object, entry, kinds, caller) : {}
    }
    return pendingOf(trail, proceed, object)
  }

  async #compute(object: Handle, entry: Entry, kinds: readonly Digest[], caller: Caller): Promise<Digests> {
    const kept = await readDigests(this.#desk, object, entry.version, caller)
    const missing = kinds.filter((kind) => kept[kind] === undefined)
    const made = missing.length > 0 ? await this.#read(object, entry, missing, caller) : {}
    const all = { ...kept, ...made }
    if (missing.length > 0) await writeDigests(this.#desk, object, entry.version, all, caller)
    return Object.fromEntries(kinds.map((kind) => [kind, all[kind]]))
  }

  /** One pass over the bytes, all of the version that was seen; else `stale`. */
  async #read(object: Handle, entry: Entry, kinds: readonly Digest[], caller: Caller): Promise<Digests> {
    const { name, version } = entry
    const args = { object: object.ref, name, writable: false, truncate: false }
    const opened = await this.#desk.run('reopen', args, caller)
    const file = this.#desk.adoptFile(opened.fd)
    try {
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
