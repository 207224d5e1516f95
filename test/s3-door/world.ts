/**
 * A gateway with an S3 door in this process, over memory or a directory tree, and people with keys.
 *
 * Buckets: `data` (/data: alice and carol may do everything, bob nothing), `open` (/open: everybody reads, also without a
 * credential; alice writes), `home` (/home/NAME of alice, bob and carol), and what is made below /made, by anybody.
 */

import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import type { Test } from 'tap'
import { type Ace, type Acl, right } from '../../acl/acl.ts'
import { encodeStoredAcl } from '../../acl/codec/stored.ts'
import type { Credential, Identity, S3Key } from '../../acl/identity/identity.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import type { Backend } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { claim } from '../../backends/posix/leaving.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import { createApi } from '../../gateway/api/routes.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { Storage, type StorageOperations } from '../../gateway/core/storage.ts'
import type { DoorLimits } from '../../gateway/http/options.ts'
import { createHttpDoor } from '../../gateway/http/server.ts'
import { createS3Door, type S3DoorOptions } from '../../gateway/s3/door.ts'
import { openState } from '../../gateway/state/open.ts'
import type { State } from '../../gateway/state/state.ts'
import { webdav } from '../../gateway/webdav/methods.ts'
import { type Mount, Namespace } from '../../mounts/namespace.ts'
import { logInto } from '../http/door.ts'
import { type SignedHeaders, type SigningKey, sign } from './signing.ts'

export const domain = 'lab.example'
export type UserName = 'alice' | 'bob' | 'carol'
export const userNames: readonly UserName[] = ['alice', 'bob', 'carol']

/** What a user's requests are signed with. */
export function keyOf(user: UserName): SigningKey {
  return { accessKeyId: `AKIA${user.toUpperCase().padEnd(16, 'X')}`, secret: `secret-of-${user}-0123456789abcdef` }
}

export function principalOf(user: UserName, more: Partial<Principal> = {}): Principal {
  const { accessKeyId } = keyOf(user)
  return { id: `s3:${accessKeyId}`, user: `${user}@${domain}`, groups: new Set(), grants: 'unbounded', ...more }
}

export interface S3WorldOptions {
  /** `posix`: directory trees below a temporary directory. */
  readonly storage?: 'memory' | 'posix'
  /** Stands in front of the storage, for all doors. */
  readonly around?: (storage: Storage) => StorageOperations
  /** Stands in front of a back end; `at` is where it is mounted. */
  readonly aroundBackend?: (backend: Backend, at: string) => Backend
  /** Of all mounts. */
  readonly mount?: Partial<Mount>
  readonly limits?: Partial<DoorLimits>
  /** Keys besides those of the users, and in their place. Undefined: not known. May throw. */
  readonly key?: (accessKeyId: string, sessionToken: string | undefined) => Promise<S3Key | undefined>
  readonly identity?: Partial<Identity>
  readonly door?: Partial<S3DoorOptions>
}

export interface RawRequest {
  readonly method?: string
  /** Percent-encoded path and query, sent as it is. */
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Signs as this user, or with this key; nobody by default. */
  readonly as?: UserName | SigningKey
  /** `x-amz-content-sha256`, instead of the digest of the body. */
  readonly payload?: string
  /** When it was signed, in milliseconds since 1970. */
  readonly at?: number
  readonly region?: string
  /** Changes what was signed. */
  readonly spoil?: (signed: SignedHeaders) => Record<string, string>
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly body: Buffer
  /** Of an error: its `Code`. */
  readonly code: string | undefined
}

/** One gateway process, as far as anybody outside can tell. */
export interface S3Process {
  readonly storage: Storage
  readonly audit: MemoryAudit
  readonly state: State
  /** Lines that were logged. */
  readonly lines: object[]
  /** Of the S3 door. */
  readonly port: number
  readonly url: string
  /** Of the HTTP door, where `Authorization: Bearer alice` is alice. */
  readonly httpPort: number
  /** Path style; without a user unsigned. */
  client(user?: UserName, config?: S3ClientConfig): S3Client
  raw(request: RawRequest): Promise<Answer>
}

export interface S3World extends S3Process {
  readonly directory: string
  /** By mount. */
  readonly backends: ReadonlyMap<string, Backend>
  /** The place of a path in the tree; with `storage: 'posix'` alone. */
  file(path: string): string
  /** A further process with the same state store and storage. */
  another(): Promise<S3Process>
}

const everything = 0x1f01ff
const reading = right.traverse | right.readAttributes | right.readData | right.readAcl | right.readNamedAttributes
const allow = (who: Ace['who'], mask: number, flags = 3): Ace => ({ type: 'allow', who, mask, flags })
const everythingFor = (user: UserName) => allow({ user: `${user}@${domain}` }, everything)

function aclOf(...aces: readonly Ace[]): Acl {
  return { owner: `keeper@${domain}`, group: undefined, dialect: 'rfc8881', aces }
}

const acls: Readonly<Record<string, Acl>> = {
  '/data': aclOf(everythingFor('alice'), everythingFor('carol')),
  '/open': aclOf(everythingFor('alice'), allow('EVERYONE@', reading)),
  '/home': aclOf(allow('OWNER@', everything), allow('EVERYONE@', reading | right.addSubdirectory, 0)),
  '/made': aclOf(allow('OWNER@', everything), allow('EVERYONE@', reading | right.addSubdirectory, 0)),
}

/** Everything is closed and removed with the test. */
export async function openS3(t: Test, options: S3WorldOptions = {}): Promise<S3World> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-s3-door-'))
  const closing: (() => Promise<void>)[] = []
  t.teardown(async () => {
    for (const close of closing.toReversed()) await close()
    rmSync(directory, { recursive: true, force: true, maxRetries: 20 })
  })
  const first = await openState({ directory })
  closing.push(() => first.close())
  const backends = new Map<string, Backend>()
  for (const at of Object.keys(acls)) {
    const plain = options.storage === 'posix' ? treeOf(directory, at, first) : memoryOf(at)
    backends.set(at, options.aroundBackend?.(plain, at) ?? plain)
    closing.push(() => plain.close())
  }
  const parts = { directory, backends, tokenKey: randomBytes(32), closing, options }
  const process = await openProcess(parts, first)
  for (const user of userNames) {
    const call = { id: 'world', principal: principalOf(user), protocol: 'internal', from: '127.0.0.1' } as const
    await process.storage.mkdir({ ...call, signal: new AbortController().signal }, parsePath(`/home/${user}`))
  }
  return {
    ...process,
    directory,
    backends,
    file: (path) => join(directory, path.slice(1).replace(/^[^/]+/, 'tree-$&')),
    another: async () => {
      const state = await openState({ directory })
      closing.push(() => state.close())
      return openProcess(parts, state)
    },
  }
}

function memoryOf(at: string): MemoryBackend {
  return new MemoryBackend(acls[at] ?? aclOf(), { name: `memory:${at}` })
}

function treeOf(directory: string, at: string, services: State): PosixBackend {
  const top = join(directory, `tree-${at.slice(1)}`)
  mkdirSync(top)
  const fd = openSync(top, 'r')
  sys.fsetxattr(fd, 'user.portolan.acl', encodeStoredAcl(acls[at] ?? aclOf()), 0)
  closeSync(fd)
  return new PosixBackend({ name: `posix:${at}`, root: top, grade: 'gateway', threads: 2, acl: ['xattr'] }, services)
}

interface Parts {
  readonly directory: string
  readonly backends: ReadonlyMap<string, Backend>
  readonly tokenKey: Uint8Array
  readonly closing: (() => Promise<void>)[]
  readonly options: S3WorldOptions
}

async function openProcess(
  { directory, backends, tokenKey, closing, options }: Parts,
  state: State,
): Promise<S3Process> {
  const mounts = [...backends].map(([at, backend]) => mountOf(at, backend, options.mount))
  const audit = new MemoryAudit()
  const bounds = { uploads: 1000, bytes: 1e12, spool: 1e12 }
  const uploads = { state, spoolDirectory: join(directory, 'spool'), claim, lifetime: 3600, bounds }
  const namespace = new Namespace(mounts)
  const storage = new Storage({ namespace, audit, spillDirectory: directory, state, locks: state.locks, uploads })
  const front = options.around?.(storage) ?? storage
  const lines: object[] = []
  const identity = { ...people, ...options.identity }
  const listen = [
    { address: '127.0.0.1', port: 0 },
    { address: '127.0.0.1', port: 0, s3: true },
  ]
  const door = await createHttpDoor({
    ...{ listen, publicUrl: 'http://localhost', storage: front, identity, log: logInto(lines), audit, data: webdav },
    routes: createApi({ storage: front, identity, publicUrl: 'http://localhost', ready: () => true }),
    ...(options.limits && { limits: options.limits }),
    s3: createS3Door({
      ...{ region: 'us-east-1', hosts: ['s3.lab.example'], domain, storage: front, tokenKey, root: parsePath('/made') },
      buckets: { data: '/data', open: '/open', home: '/home/{user}' },
      keys: {
        key: async (id, token) => (await options.key?.(id, token)) ?? keys.get(id),
        noteUse: async () => {},
      },
      ...options.door,
    }),
  })
  const [http, s3] = await door.listen()
  closing.push(() => door.close({ deadline: 0 }))
  const port = s3?.port ?? 0
  const url = `http://127.0.0.1:${port}`
  return {
    ...{ storage, audit, state, lines, port, url, httpPort: http?.port ?? 0 },
    client: (user, config = {}) => clientOf(url, closing, user, config),
    raw: (request) => rawRequest(port, request),
  }
}

function mountOf(at: string, backend: Backend, more: Partial<Mount> = {}): Mount {
  return {
    ...{ at: parsePath(at), backend, base: root, enforce: 'gateway', readOnly: false, anonymous: at === '/open' },
    ...{ createParents: false, recall: 'explicit', maxInFlight: 1000, deadline: 20_000 },
    ...more,
  }
}

const keys = new Map(
  userNames.map((user) => {
    const { accessKeyId, secret } = keyOf(user)
    return [accessKeyId, { accessKeyId, secret: new Secret(secret), principal: principalOf(user) }]
  }),
)

const people: Identity = {
  async authenticate(credential: Credential) {
    if (credential.kind === 'none') return anonymous
    const name = credential.kind === 'bearer' ? credential.token.reveal() : undefined
    const user = userNames.find((each) => each === name)
    if (user) return principalOf(user)
    throw new StorageError('unauthenticated', 'refused', { reason: { rule: 'unknown-issuer', text: 'refused' } })
  },
  principalOf: async () => undefined,
}

function clientOf(
  url: string,
  closing: Parts['closing'],
  user: UserName | undefined,
  config: S3ClientConfig,
): S3Client {
  const { accessKeyId, secret } = keyOf(user ?? 'alice')
  const client = new S3Client({
    endpoint: url,
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey: secret },
    ...(user === undefined && { signer: { sign: async (request) => request } }),
    ...config,
  })
  closing.push(async () => client.destroy())
  return client
}

async function rawRequest(port: number, request: RawRequest): Promise<Answer> {
  const { method = 'GET', target, body, as } = request
  const plain = { host: `127.0.0.1:${port}`, ...request.headers }
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const headers = { ...length, ...(as === undefined ? plain : signedHeaders(request, plain, as)) }
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const sent = httpRequest({ host: '127.0.0.1', port, method, path: target, agent: false, headers })
  sent.on('error', reject)
  sent.on('response', (response) => {
    buffer(response).then((bytes) => {
      const text = bytes.toString()
      const { statusCode: status = 0, headers } = response
      resolve({ status, headers, text, body: bytes, code: /<Code>(\w+)<\/Code>/.exec(text)?.[1] })
    }, reject)
  })
  sent.end(body)
  return promise
}

function signedHeaders(
  { method = 'GET', target, body, payload, at, region, spoil }: RawRequest,
  headers: Readonly<Record<string, string>>,
  as: UserName | SigningKey,
): Record<string, string> {
  const key = typeof as === 'string' ? keyOf(as) : as
  const more = { ...(payload !== undefined && { payload }), ...(at !== undefined && { at }), ...(region && { region }) }
  const signed = sign({ method, target, headers, body, key, ...more })
  return spoil?.(signed) ?? signed.headers
}
