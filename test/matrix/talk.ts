/** Many small requests over connections that stay open. */

import { once } from 'node:events'
import http from 'node:http'

export interface Request {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | undefined
}

export interface Said {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

export class Talk {
  readonly #port: () => number
  readonly #agent: http.Agent

  /** `port` is asked for at every request: the server may not run yet. */
  constructor(port: () => number, connections = 8) {
    this.#port = port
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  }

  async send({ method, path, headers = {}, body }: Request): Promise<Said> {
    const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
    const call = http.request({
      ...{ host: '127.0.0.1', port: this.#port(), method, path, agent: this.#agent },
      headers: { ...length, ...headers },
      signal: AbortSignal.timeout(60_000),
    })
    call.end(body)
    const [response] = (await once(call, 'response')) as [http.IncomingMessage]
    const parts: Buffer[] = []
    for await (const part of response as AsyncIterable<Buffer>) parts.push(part)
    return { status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(parts).toString() }
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Runs the works, so many of them at once, and gives what they gave in their order. */
export async function atOnce<T>(most: number, works: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const run = async () => {
    for (let at = next++; at < works.length; at = next++) results[at] = await (works[at] as () => Promise<T>)()
  }
  await Promise.all(Array.from({ length: Math.min(most, works.length) }, run))
  return results
}
