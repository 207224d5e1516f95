/** A small namespace over memory back ends, and the people who call. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinNames } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Ace, type Acl, aceFlag, right } from '../../acl/acl.ts'
import type { Grant, GrantKind, Principal } from '../../acl/principal.ts'
import type { Backend } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { LimitOptions } from '../../gateway/core/limits.ts'
import { isWithin, type Path, parsePath, rebase, root } from '../../gateway/core/path.ts'
import { Storage, type WriteOptions, type Written } from '../../gateway/core/storage.ts'
import { type Mount, Namespace } from '../../mounts/namespace.ts'

export const everything = 0x1f01ff
export const look = right.traverse | right.readAttributes
export const readAll = look | right.readData | right.readAcl | right.readNamedAttributes

const inherit = aceFlag.fileInherit | aceFlag.directoryInherit

export const allow = (who: Ace['who'], mask: number, flags = inherit): Ace => ({ type: 'allow', who, mask, flags })
export const deny = (who: Ace['who'], mask: number, flags = inherit): Ace => ({ type: 'deny', who, mask, flags })
export const user = (name: string): { readonly user: string } => ({ user: `${name}@x` })

/** The gateway's own hand: full rights everywhere, by an entry that every object inherits. */
const keeper = allow(user('keeper'), everything)

export const aclOf = (owner: string, ...aces: readonly Ace[]): Acl => ({
  owner: `${owner}@x`,
  group: 'staff@x',
  dialect: 'rfc8881',
  aces: [keeper, ...aces],
})

/** "read:/data/a" and its kin; "none" is a credential with capabilities that give nothing. */
export const grants = (...scopes: readonly string[]): Grant[] =>
  scopes.map((scope) => {
    const [kind = '', path = '/'] = scope.split(':')
    return { kind: kind as GrantKind, path: parsePath(path), directoryOnly: path.length > 1 && path.endsWith('/') }
  })

export const person = (name: string, more: Partial<Principal> = {}): Principal => ({
  id: name,
  user: `${name}@x`,
  groups: new Set(['staff@x']),
  grants: 'unbounded',
  ...more,
})

let calls = 0
export const callBy = (principal: Principal | string, signal = new AbortController().signal): Call => ({
  id: `call-${++calls}`,
  principal: typeof principal === 'string' ? person(principal) : principal,
  protocol: 'http',
  from: '127.0.0.1',
  signal,
})

/** Notes the names of the operations that reach the back end. */
export function noted(inner: Backend, calls: string[]): Backend {
  return new Proxy(inner, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      // A question to the object in memory, no call to the storage.
      if (key === 'enforces') return value.bind(target)
      return (...args: unknown[]) => {
        calls.push(String(key))
        return Reflect.apply(value, target, args)
      }
    },
  })
}

export const mountOf = (at: string, backend: Backend, more: Partial<Mount> = {}): Mount => ({
  at: parsePath(at),
  backend,
  base: root,
  enforce: 'gateway',
  readOnly: false,
  anonymous: false,
  createParents: false,
  recall: 'explicit',
  maxInFlight: 100,
  deadline: 10_000,
  ...more,
})

/** At the root of a mount everybody may look and nobody but the keeper may change anything. */
export const openRoot = aclOf('keeper', allow('EVERYONE@', readAll, 0))

export class World {
  readonly memories = new Map<Path, MemoryBackend>()
  readonly calls: string[] = []
  readonly audit = new MemoryAudit()
  readonly storage: Storage
  readonly mounts: readonly Mount[]
  readonly spillDirectory = mkdtempSync(joinNames(tmpdir(), 'portolan-core-'))
  readonly #keeper = person('keeper')

  constructor(
    mounts: Readonly<Record<string, Partial<Mount>>> = { '/data': {}, '/other': {} },
    limits: Partial<LimitOptions> = {},
  ) {
    this.mounts = Object.entries(mounts).map(([at, more]) => {
      const memory = new MemoryBackend(openRoot, { name: at })
      this.memories.set(parsePath(at), memory)
      return mountOf(at, noted(memory, this.calls), more)
    })
    this.storage = new Storage({
      namespace: new Namespace(this.mounts),
      audit: this.audit,
      spillDirectory: this.spillDirectory,
      limits,
    })
  }

  /** Makes a directory; with entries it gets an ACL of its own. */
  async directory(path: string, owner = 'keeper', ...aces: readonly Ace[]): Promise<void> {
    await this.storage.mkdir(callBy(this.#keeper), parsePath(path))
    if (aces.length > 0) this.acl(path, aclOf(owner, ...aces))
  }

  async file(path: string, content = 'content', owner = 'keeper', ...aces: readonly Ace[]): Promise<void> {
    await this.put(this.#keeper, path, content)
    if (aces.length > 0) this.acl(path, aclOf(owner, ...aces))
  }

  /** `undefined`: it cannot be read. */
  acl(path: string, acl: Acl | undefined): void {
    const { memory, inner } = this.#memoryOf(path)
    memory.replaceAcl(inner, acl)
  }

  link(path: string, target: string): void {
    const { memory, inner } = this.#memoryOf(path)
    memory.addLink(inner, target)
  }

  async put(
    principal: Principal | string,
    path: string,
    content: string | Buffer,
    options: WriteOptions = {},
  ): Promise<Written> {
    const writing = await this.storage.write(callBy(principal), parsePath(path), options)
    writing.body.end(content)
    return writing.commit()
  }

  async get(principal: Principal | string, path: string): Promise<string> {
    const reading = await this.storage.read(callBy(principal), parsePath(path))
    if (reading.kind !== 'bytes') return reading.kind
    const content = await text(reading.stream({ start: 0, end: reading.entry.size }))
    await reading.close({ bytes: content.length })
    return content
  }

  async names(principal: Principal | string, path: string, order: 'native' | 'name' = 'native'): Promise<string[]> {
    const listed = await this.storage.list(callBy(principal), parsePath(path), { order })
    const names: string[] = []
    for await (const page of listed.pages()) for (const entry of page) names.push(entry.name)
    return names
  }

  /** What the keeper sees: "content", "directory" or "not-found". */
  async state(path: string): Promise<string> {
    try {
      return await this.get(this.#keeper, path)
    } catch (error) {
      return StorageError.from(error).code
    }
  }

  end(): void {
    rmSync(this.spillDirectory, { recursive: true })
  }

  #memoryOf(text: string): { readonly memory: MemoryBackend; readonly inner: Path } {
    const path = parsePath(text)
    for (const mount of this.mounts) {
      const memory = this.memories.get(mount.at)
      if (memory && isWithin(path, mount.at)) return { memory, inner: rebase(path, mount.at, mount.base) }
    }
    throw new Error(`no mount holds ${text}`)
  }
}

/** "ok", or the code of the error. */
export async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'ok'
  } catch (error) {
    return StorageError.from(error).code
  }
}
