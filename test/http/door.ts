/** A door over the memory back end, with callers known by made-up tokens, for the tests of this folder. */

import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import { type Ace, type Acl, right } from '../../acl/acl.ts'
import type { Credential, Identity } from '../../acl/identity/identity.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { createApi } from '../../gateway/api/routes.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { Storage, type StorageOperations } from '../../gateway/core/storage.ts'
import type { DoorLog, DoorOptions } from '../../gateway/http/options.ts'
import { createHttpDoor, type HttpDoor } from '../../gateway/http/server.ts'
import type { LockStore } from '../../gateway/state/state.ts'
import { webdav } from '../../gateway/webdav/methods.ts'
import { type Mount, Namespace } from '../../mounts/namespace.ts'

/** All rights that have a letter in nfs4_acl(5). */
export const everything = 0x1f01ff
export const looking = right.readData | right.execute | right.readAttributes | right.readAcl

export function ace(who: Ace['who'], mask: number, flags = 3, type: Ace['type'] = 'allow'): Ace {
  return { type, who, mask, flags }
}

/** Alice may everything; with `open` everybody may look. */
export function aclOf(...more: readonly Ace[]): Acl {
  const aces = [ace({ user: 'alice@desy.de' }, everything), ...more]
  return { owner: 'alice@desy.de', group: undefined, aces, dialect: 'rfc8881' }
}

export function person(name: string, more: Partial<Principal> = {}): Principal {
  return { id: `test|${name}`, user: `${name}@desy.de`, groups: new Set(), grants: 'unbounded', ...more }
}

export const alice = person('alice')

/** Tokens `alice`, `bob`, `admin`, `reader` (alice, bound to reading /data/open); `expired` is refused. */
export const identity: Identity = {
  async authenticate(credential: Credential) {
    if (credential.kind === 'none') return anonymous
    if (credential.kind !== 'bearer' && credential.kind !== 'basic') throw refused('session')
    const name = credential.kind === 'bearer' ? credential.token.reveal() : credential.user
    if (credential.kind === 'basic' && credential.password.reveal() !== 'secret') throw refused('password')
    if (name === 'expired') throw refused('token-expired')
    if (name === 'admin') return person('admin', { administrator: true })
    if (name === 'reader')
      return person('alice', { grants: [{ kind: 'read', path: parsePath('/data/open'), directoryOnly: false }] })
    if (name === 'alice' || name === 'bob') return person(name)
    throw refused('unknown-issuer')
  },
  async principalOf(user) {
    const name = user.replace(/@desy\.de$/, '')
    return name === 'alice' || name === 'bob' ? person(name) : undefined
  },
}

function refused(rule: string): StorageError {
  return new StorageError('unauthenticated', 'refused', { reason: { rule, text: `refused by ${rule}` } })
}

export interface Setting {
  readonly door: HttpDoor
  readonly storage: Storage
  readonly backend: MemoryBackend
  readonly audit: MemoryAudit
  readonly port: number
  /** Lines that were logged. */
  readonly lines: object[]
}

/** What a test changes of the ordinary setting. */
export interface SettingOptions extends Partial<Omit<DoorOptions, 'storage'>> {
  readonly acl?: Acl
  readonly mount?: Partial<Mount>
  /** Where locks are kept; there are none without. */
  readonly locks?: LockStore
  /** Stands in front of the storage. */
  readonly around?: (storage: Storage) => StorageOperations
  readonly ready?: () => boolean
  readonly explainPerMinute?: number
}

/** `/data` is a mount; the door listens on a free loopback port until the test ends. */
export async function openDoor(t: Test, options: SettingOptions = {}): Promise<Setting> {
  const { acl = aclOf(ace('EVERYONE@', looking)), mount: changes, locks, around, ...rest } = options
  const { ready = () => true, explainPerMinute, ...door } = rest
  const spillDirectory = await mkdtemp(join(tmpdir(), 'portolan-http-'))
  const backend = new MemoryBackend(acl)
  const mount: Mount = {
    at: parsePath('/data'),
    backend,
    base: root,
    enforce: 'gateway',
    readOnly: false,
    anonymous: true,
    createParents: false,
    recall: 'explicit',
    maxInFlight: 1000,
    deadline: 20_000,
    ...changes,
  }
  const audit = new MemoryAudit()
  const storage = new Storage({ namespace: new Namespace([mount]), audit, spillDirectory, ...(locks && { locks }) })
  const lines: object[] = []
  const publicUrl = door.publicUrl ?? 'http://localhost'
  const front = around?.(storage) ?? storage
  const opened = await createHttpDoor({
    listen: [{ address: '127.0.0.1', port: 0 }],
    publicUrl,
    storage: front,
    identity,
    log: logInto(lines),
    audit,
    data: webdav,
    routes: createApi({
      storage: front,
      identity: door.identity ?? identity,
      publicUrl,
      ready,
      ...(explainPerMinute !== undefined && { explainPerMinute }),
    }),
    ...door,
  })
  const [address] = await opened.listen()
  t.teardown(async () => {
    await opened.close({ deadline: 0 })
    await backend.close()
    await rm(spillDirectory, { recursive: true, force: true })
  })
  return { door: opened, storage, backend, audit, port: address?.port ?? 0, lines }
}

export function logInto(lines: object[]): DoorLog {
  const log = (fields: object, text: string) => void lines.push({ ...fields, text })
  return { level: 'debug', debug: log, info: log, warn: log, error: log }
}

export function callOf(principal: Principal): Call {
  return { id: 'test', principal, protocol: 'internal', from: '127.0.0.1', signal: new AbortController().signal }
}

/** Puts a file there as alice. */
export async function store(storage: StorageOperations, path: string, content: string | Uint8Array): Promise<void> {
  const writing = await storage.write(callOf(alice), parsePath(path))
  writing.body.end(content)
  await writing.commit()
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
}

/** One request on a connection of its own. `as` is a token. */
export async function ask(
  port: number,
  method: string,
  path: string,
  options: RequestOptions & { readonly as?: string; readonly body?: string | Uint8Array } = {},
): Promise<Answer> {
  const { as, body, headers, ...others } = options
  const all = { ...headers, ...(as && { authorization: `Bearer ${as}` }) } as Record<string, string>
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const request = httpRequest({ host: '127.0.0.1', port, method, path, agent: false, headers: all, ...others })
  request.on('error', reject)
  request.on('response', (response) => {
    buffer(response).then((bytes) => {
      const { statusCode: status = 0, headers } = response
      resolve({ status, headers, body: bytes, text: bytes.toString() })
    }, reject)
  })
  request.end(body)
  return promise
}

/** A connection for bytes that no client library would send. */
export interface Raw {
  readonly socket: Socket
  send(text: string | Uint8Array): void
  /** Everything received until `pattern` is in it. */
  until(pattern: RegExp): Promise<string>
  /** Everything received until the other side closes. */
  end(): Promise<string>
}

export function rawConnection(t: Test, port: number): Raw {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  t.teardown(() => void socket.destroy())
  let text = ''
  let over = false
  const listeners = new Set<() => void>()
  const notify = () => {
    for (const listener of listeners) listener()
  }
  const finish = () => {
    over = true
    notify()
  }
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    notify()
  })
  socket.on('end', finish).on('close', finish).on('error', finish)
  const wait = (done: () => boolean) => {
    const { promise, resolve } = Promise.withResolvers<string>()
    const check = () => {
      if (!done()) return
      listeners.delete(check)
      resolve(text)
    }
    listeners.add(check)
    check()
    return promise
  }
  return {
    socket,
    send: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    until: (pattern) => wait(() => pattern.test(text) || over),
    end: () => wait(() => over),
  }
}
