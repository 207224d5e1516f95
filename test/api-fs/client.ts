/** A mount's side of the protocol, as plainly as can be, for the tests of this folder. */

import type { IncomingHttpHeaders } from 'node:http'
import type { Test } from 'tap'
import { createFsFront, type FsFrontOptions } from '../../gateway/api/fs/front.ts'
import type { StorageOperations } from '../../gateway/core/storage.ts'
import { ask, openDoor, type Setting, type SettingOptions } from '../http/door.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The parsed body; undefined where it is no JSON. */
  readonly json: Record<string, unknown>
}

type Headers = Readonly<Record<string, string>>

export class FsClient {
  readonly port: number
  readonly user: string
  session = ''

  constructor(port: number, user: string) {
    this.port = port
    this.user = user
  }

  async begin(more: object = {}): Promise<Answer> {
    const answer = await this.post('session', { versions: [1], client: 'test/1', ...more })
    this.session = String(answer.json.session)
    return answer
  }

  op(name: string, members: object, headers: Headers = {}): Promise<Answer> {
    return this.post(`op/${name}`, members, headers)
  }

  post(what: string, body: object | string, headers: Headers = {}): Promise<Answer> {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return this.send('POST', what, { 'content-type': 'application/json', ...headers }, text)
  }

  async read(handle: string, offset: number, length: number): Promise<Answer> {
    return this.send('GET', `data?handle=${handle}&offset=${offset}&length=${length}`)
  }

  async write(handle: string, offset: number, bytes: string | Uint8Array, headers: Headers = {}): Promise<Answer> {
    const length = String(Buffer.byteLength(bytes))
    return this.send('PUT', `data?handle=${handle}&offset=${offset}`, { 'content-length': length, ...headers }, bytes)
  }

  async send(method: string, what: string, headers: Headers = {}, body?: string | Uint8Array): Promise<Answer> {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const all = { ...length, ...(this.session && { 'portolan-session': this.session }), ...headers }
    const path = `/.portolan/fs/v1/${what}`
    const answer = await ask(this.port, method, path, {
      headers: all,
      ...(this.user && { as: this.user }),
      ...(body !== undefined && { body }),
    })
    return { ...answer, json: parsed(answer.text) }
  }
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    // Bytes of a file.
    return {}
  }
}

export interface FsSetting extends Setting {
  /** With a session of its own. */
  mount(user?: string): Promise<FsClient>
}

/** A door over the memory back end that serves mounts too. */
export async function openFs(
  t: Test,
  options: SettingOptions & { readonly fs?: Partial<FsFrontOptions> } = {},
): Promise<FsSetting> {
  const { fs, around, ...rest } = options
  let front: StorageOperations | undefined
  // The front end is made before the storage that it serves.
  const storage = new Proxy({} as StorageOperations, {
    get: (_target, name) => {
      const value: unknown = Reflect.get(front ?? {}, name, front)
      return typeof value === 'function' ? value.bind(front) : value
    },
  })
  const mounts = createFsFront({ storage, workers: 1, ...fs })
  const setting = await openDoor(t, {
    ...rest,
    mounts,
    around: (storage) => {
      front = around?.(storage) ?? storage
      return front
    },
  })
  return {
    ...setting,
    async mount(user = 'alice') {
      const client = new FsClient(setting.port, user)
      await client.begin()
      return client
    },
  }
}
