/**
 * Checksums: those that dCache holds, by the frontend, by PROPFIND or by HEAD with `Want-Digest`, and others computed
 * from the bytes where these are on disk. dCache takes none from outside, so what is computed here is not kept.
 */

import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { ChecksumFacet, Digest, Digests, Pending } from '../backend.ts'
import { digestKinds, startDigest } from '../digesting.ts'
import type { Desk, Scope } from './desk.ts'
import { digestsOf, digestsOfJson, wantedDigests } from './digest-header.ts'
import { lookAt, propfind, walk } from './looking.ts'
import { open } from './opening.ts'
import { checksumsBody, checksumsOfFound } from './propfind.ts'
import { requireFile, requireOnDisk, stale } from './requiring.ts'

export class DcacheChecksums implements ChecksumFacet {
  readonly kinds = digestKinds
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  kept(path: Path, call: Call): Promise<Pending<Digests>> {
    return this.#look(path, call, (scope, version) => this.#held(path, version, scope, call))
  }

  /** Never brings a file from tape: what is not on disk and not known is `nearline`. */
  compute(path: Path, wanted: readonly Digest[], call: Call): Promise<Pending<Digests>> {
    return this.#look(path, call, async (scope, version) => {
      const held = await this.#held(path, version, scope, call)
      const missing = wanted.filter((kind) => !held[kind])
      const made = missing.length > 0 ? await this.#read(path, version, missing, call) : {}
      return Object.fromEntries(wanted.map((kind) => [kind, held[kind] ?? made[kind]]))
    })
  }

  async #look(
    path: Path,
    call: Call,
    act: (scope: Scope, version: string) => Promise<Digests>,
  ): Promise<Pending<Digests>> {
    const scope: Scope = { activities: ['READ_METADATA'], object: this.#desk.inDcache(path) }
    const trail = await walk(this.#desk, path, scope, call)
    const proceed = async () => {
      this.#desk.requireAlive(call)
      return act(scope, requireFile(trail, path).version)
    }
    return { trail, proceed, release: async () => {} }
  }

  async #held(path: Path, version: string, scope: Scope, call: Call): Promise<Digests> {
    const seen = await lookAt(this.#desk, path, scope, call, { checksum: 'true' })
    if (seen?.entry.version !== version) throw stale(path)
    return seen.json ? digestsOfJson(seen.json.checksums) : checksumsBy(this.#desk, path, scope, call)
  }

  async #read(path: Path, version: string, wanted: readonly Digest[], call: Call): Promise<Digests> {
    const pending = await open(this.#desk, path, {}, call)
    const entry = requireFile(pending.trail, path)
    if (entry.version !== version) throw stale(path)
    requireOnDisk(this.#desk, entry, path)
    const file = await pending.proceed()
    try {
      const running = wanted.map((kind) => [kind, startDigest(kind)] as const)
      for await (const chunk of file.stream({ start: 0, end: entry.size })) {
        for (const [, digest] of running) digest.update(chunk as Buffer)
      }
      return Object.fromEntries(running.map(([kind, digest]) => [kind, digest.digest()]))
    } finally {
      await file.close()
    }
  }
}

/** What the WebDAV door knows: the property, or where it has none the header. */
export async function checksumsBy(desk: Desk, path: Path, scope: Scope, call: Call): Promise<Digests> {
  const found = await propfind(desk, path, checksumsBody, scope, call)
  const held = digestsOf(found && checksumsOfFound(found))
  if (Object.keys(held).length > 0) return held
  const response = await desk.webdav.request({
    method: 'HEAD',
    path: desk.inDcache(path),
    headers: { 'Want-Digest': wantedDigests },
    call,
    ...scope,
    idempotent: true,
  })
  response.discard()
  return response.status === 200 ? digestsOf(response.headers.digest) : {}
}
