/** A server that speaks a little of docs/fs-api.md over one file of bytes, and misbehaves as it is told. */

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import type { CredentialSource } from '../../mounts/client/credentials/source.ts'
import { connectFs, type FsOptions } from '../../mounts/client/fs/connect.ts'
import type { RemoteFs } from '../../mounts/client/fs/remote.ts'
import { fixedToken } from './fixed-token.ts'

export interface Asked {
  /** Below the prefix, without the query: `session`, `op/open`, `data` ... */
  readonly what: string
  readonly method: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly body: Buffer
}

export class Pretended {
  /** Names the start of its machine. */
  boot: string | undefined = 'first'
  /** Its storage refuses bytes late. */
  flushes = false
  /** Answers itself and gives true, or leaves it to the usual answers. */
  misbehave: (asked: Asked) => boolean | Promise<boolean> = () => false
  readonly asked: string[] = []
  readonly url: string
  bytes = Buffer.alloc(0)
  #sessions = 0
  #handles = 0

  static async start(t: Test): Promise<Pretended> {
    const server = createServer((request, response) => void own?.answer(request, response))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const own = new Pretended(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    return own
  }

  private constructor(url: string) {
    this.url = url
  }

  /** Closed with the test. */
  async reach(t: Test, options: Partial<FsOptions> = {}, source?: CredentialSource): Promise<RemoteFs> {
    const credential = source ?? fixedToken(new Secret('token'), 'the test')
    const fs = await connectFs({ origin: new URL(this.url), source: credential, timeout: 5000, ...options })
    t.teardown(() => fs.close())
    return fs
  }

  /** All sessions are over. */
  forget(): void {
    this.#sessions++
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url)
    const what = url.pathname.replace('/.portolan/fs/v1/', '')
    const body = await buffer(request)
    this.asked.push(what)
    const asked = { what, method: request.method ?? '', request, response, body }
    response.on('error', () => {})
    if (await this.misbehave(asked)) return
    if (what === 'session') this.#session(asked)
    else if (request.headers['portolan-session'] !== `session-${this.#sessions}`) {
      say(response, 410, { code: 'session-over' })
    } else if (what === 'data') this.#data(asked, Number(url.searchParams.get('offset')))
    else if (what === 'op/open') {
      const handle = `h${++this.#handles}`
      const { flushes } = this
      say(response, 200, { handle, kind: 'edit', created: true, flushes, attributes: this.#attributes() })
    } else if (/^op\/(f?stat|mkdir)$/.test(what)) say(response, 200, this.#attributes())
    else say(response, 200, {})
  }

  #session({ method, response }: Asked): void {
    if (method === 'DELETE') {
      say(response, 204)
      return
    }
    say(response, 201, {
      ...{ version: 1, session: `session-${++this.#sessions}`, worker: 'w', workers: 1, lease: 60, user: 'alice' },
      ...{ largest: { read: 1024 * 1024, write: 1024 * 1024 }, page: 1000 },
      ...(this.boot !== undefined && { boot: this.boot }),
    })
  }

  #data({ method, response, body }: Asked, offset: number): void {
    if (method === 'GET') {
      say(response, 200, this.bytes.subarray(offset))
      return
    }
    this.bytes = Buffer.concat([this.bytes.subarray(0, offset), body, this.bytes.subarray(offset + body.length)])
    say(response, 204)
  }

  #attributes(): object {
    const time = String(Date.now() * 1_000_000)
    const { length: size } = this.bytes
    return { type: 'file', size, modified: time, changed: time, mine: true, version: 'v', id: 'one' }
  }
}

/** As the gateway's worker. */
export function say(response: ServerResponse, status: number, body?: object): void {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body === undefined ? '' : JSON.stringify(body))
  const type = status < 400 ? 'application/json' : 'application/problem+json'
  const length = status === 204 ? {} : { 'content-length': String(bytes.length) }
  response.writeHead(status, { 'content-type': type, 'portolan-worker': 'w', ...length })
  response.end(bytes)
}
