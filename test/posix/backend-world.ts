/** A directory tree with a back end over it, and stores in memory that show what they hold. */

import { constants, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { chmod, chown } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import type { Acl } from '../../acl/acl.ts'
import { encodeStoredAcl } from '../../acl/codec/stored.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Backend, BackendServices, CommitOptions, Entry, Pending } from '../../backends/backend.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'

export const alice: Principal = {
  id: 'alice',
  user: 'alice@desy.de',
  groups: new Set(['p01@desy.de']),
  grants: 'unbounded',
  posix: { uid: 41001, gid: 41001, gids: [41900] },
}
export const bob: Principal = {
  id: 'bob',
  user: 'bob@desy.de',
  groups: new Set(),
  grants: 'unbounded',
  posix: { uid: 41002, gid: 41002, gids: [] },
}

/** Alice may do all, and what is made below inherits that for its owner. */
export const openAcl: Acl = {
  owner: 'alice@desy.de',
  group: 'p01@desy.de',
  dialect: 'rfc8881',
  aces: [
    { type: 'allow', flags: 0x3, mask: 0x1f01ff, who: 'OWNER@' },
    { type: 'allow', flags: 0, mask: 0x1f01ff, who: { user: 'alice@desy.de' } },
  ],
}

/** Stores in memory, as one process sees them. */
export class TestServices implements BackendServices {
  /** Places in the journal. */
  readonly places = new Set<string>()
  readonly values = new Map<string, Map<string, string>>()
  readonly #lines = new Map<string, Promise<unknown>>()
  /** Keys of all leases that were taken. */
  readonly leased: string[] = []

  readonly journal: BackendServices['journal'] = {
    add: async (_backend, place) => void this.places.add(place),
    remove: async (_backend, place) => void this.places.delete(place),
    stale: async () => [...this.places],
  }

  readonly overflow: BackendServices['overflow'] = {
    get: async (_backend, id) => new Map(this.values.get(id)),
    set: async (_backend, id, changes) => {
      const next = new Map(this.values.get(id))
      for (const [key, value] of changes) {
        if (value === undefined) next.delete(key)
        else next.set(key, value)
      }
      if (next.size > 0) this.values.set(id, next)
      else this.values.delete(id)
    },
    removeAll: async (_backend, id) => void this.values.delete(id),
  }

  readonly leases: BackendServices['leases'] = {
    withLease: async (key, _wait, work) => {
      this.leased.push(key)
      const before = this.#lines.get(key) ?? Promise.resolve()
      const turn = before.then(work, work)
      this.#lines.set(
        key,
        turn.catch(() => {}),
      )
      return turn
    },
  }
}

export interface Tree {
  readonly directory: string
  readonly services: TestServices
  readonly backend: PosixBackend
  /** The same tree, as another process would open it. */
  open(options?: Partial<PosixOptions>): PosixBackend
  /** A path of the tree, in the real file system. */
  real(...names: string[]): string
  leftovers(): readonly string[]
  end(): Promise<void>
}

/** Native trees belong to alice; the root's ACL in the gateway grade is `openAcl`. */
export async function makeTree(options: Partial<PosixOptions> = {}, parent = tmpdir()): Promise<Tree> {
  const directory = mkdtempSync(joinPath(parent, 'portolan-posix-'))
  if (options.grade === 'native') {
    await chown(directory, 41001, 41001)
    // The way there must be open for the accounts that the threads switch to.
    await chmod(directory, 0o755)
  } else if (options.acl === undefined || options.acl.includes('xattr')) {
    storeAclAt(directory, openAcl)
  }
  const services = new TestServices()
  const opened: PosixBackend[] = []
  const open = (more: Partial<PosixOptions> = {}) => {
    const backend = new PosixBackend({ root: directory, grade: 'gateway', threads: 2, ...options, ...more }, services)
    opened.push(backend)
    return backend
  }
  const backend = open()
  await backend.ready()
  return {
    directory,
    services,
    backend,
    open,
    real: (...names) => joinPath(directory, ...names),
    leftovers: () => [
      ...globSync('**/.portolan-stage-*', { cwd: directory }),
      ...[...services.places].map((place) => `journal ${place}`),
    ],
    end: async () => {
      for (const one of opened) await one.close()
      // On NFS names of closed files may take a moment to go.
      rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
    },
  }
}

/** Puts an ACL into our attribute of a real file or directory. */
export function storeAclAt(path: string, acl: Acl): void {
  withFile(path, (fd) => sys.fsetxattr(fd, 'user.portolan.acl', encodeStoredAcl(acl), 0))
}

export function withFile<T>(path: string, work: (fd: number) => T): T {
  const fd = sys.openat(sys.AT_FDCWD, path, constants.O_RDONLY, 0)
  try {
    return work(fd)
  } finally {
    sys.close(fd)
  }
}

export function callOf(principal: Principal, signal: AbortSignal = new AbortController().signal): Call {
  return { id: 'test', principal, protocol: 'internal', from: '127.0.0.1', signal }
}

/** Looks, proceeds and lets go. */
export async function act<T>(looking: Promise<Pending<T>>): Promise<T> {
  const pending = await looking
  try {
    return await pending.proceed()
  } finally {
    await pending.release()
  }
}

export async function write(
  backend: Backend,
  path: Path,
  bytes: string | Uint8Array,
  options: Partial<CommitOptions> & { readonly as?: Principal } = {},
): Promise<Entry> {
  const draft = await act(backend.create(path, {}, callOf(options.as ?? alice)))
  try {
    await new Promise<void>((resolve, reject) => {
      draft.body.on('error', reject)
      draft.body.end(Buffer.from(bytes), resolve)
    })
    return await draft.commit({ condition: 'any', decide: () => {}, ...options })
  } finally {
    await draft.discard()
  }
}

export async function read(backend: Backend, path: Path, as: Principal = alice): Promise<string> {
  const file = await act(backend.open(path, { inlineUpTo: 65536 }, callOf(as)))
  try {
    if (file.content) return Buffer.from(file.content).toString()
    const parts: Buffer[] = []
    for await (const part of file.stream({ start: 0, end: file.entry.size })) parts.push(part)
    return Buffer.concat(parts).toString()
  } finally {
    await file.close()
  }
}

/** The code of the StorageError that a promise fails with; what it gave otherwise. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof StorageError) return error.code
    throw error
  }
}

/** Empty files, made quickly. */
export function fill(directory: string, names: readonly string[]): void {
  for (const name of names) writeFileSync(joinPath(directory, name), '')
}
