/** A way to a directory that a test has in its hands: it counts searches, holds answers back, cuts, and changes what passes. */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface WayOptions {
  /** Where it leads; nowhere if absent: connections are taken and nothing is ever said. */
  readonly to?: number
  /** 127.0.0.1 if absent. */
  readonly host?: string
  /** Milliseconds that each answer takes. */
  readonly delay?: number
  /** What is sent to the client in place of an answer; undefined for nothing. */
  readonly change?: (answer: Buffer, connection: number) => Buffer | undefined
}

export class Way {
  readonly #server: Server
  readonly #options: WayOptions
  readonly #open = new Set<Socket>()
  readonly #held: Array<() => void> = []
  #holding = false
  /** Search requests that went through. */
  searches = 0
  /** Connections that were made. */
  connections = 0
  /** Everything that clients have sent. */
  readonly sent: Buffer[] = []

  private constructor(server: Server, options: WayOptions) {
    this.#server = server
    this.#options = options
    server.on('connection', (client) => this.#lead(client))
  }

  static async open(t: Test, options: WayOptions = {}): Promise<Way> {
    const server = createServer().listen(0, options.host ?? '127.0.0.1')
    await once(server, 'listening')
    const way = new Way(server, options)
    t.teardown(() => way.close())
    return way
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `ldap://127.0.0.1:${this.port}`
  }

  /** Answers wait from now on. */
  hold(): void {
    this.#holding = true
  }

  release(): void {
    this.#holding = false
    for (const send of this.#held.splice(0)) send()
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#open) socket.destroy()
  }

  async close(): Promise<void> {
    this.cut()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** Takes connections again, at the same port. */
  async reopen(port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  #lead(client: Socket): void {
    const number = this.connections++
    const { to, change, delay } = this.#options
    this.#keep(client)
    client.on('data', (chunk: Buffer) => this.sent.push(chunk))
    if (to === undefined) return
    const server = connect(to, '127.0.0.1')
    this.#keep(server)
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
    client.on('data', (chunk: Buffer) => {
      this.searches += searchesIn(chunk)
      server.write(chunk)
    })
    server.on('data', (chunk: Buffer) => {
      const answer = change ? change(chunk, number) : chunk
      if (answer === undefined) return
      if (this.#holding) this.#held.push(() => client.write(answer))
      else if (delay !== undefined) setTimeout(() => client.write(answer), delay)
      else client.write(answer)
    })
  }

  #keep(socket: Socket): void {
    this.#open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#open.delete(socket))
  }
}

/** Requests of clients are small and come whole: SEQUENCE, message id, operation (0x63 is a search). */
function searchesIn(chunk: Buffer): number {
  let count = 0
  for (let at = 0; at + 2 < chunk.length && chunk[at] === 0x30; ) {
    const first = chunk[at + 1] ?? 0
    const bytes = first < 0x80 ? 0 : first & 0x7f
    const length = bytes === 0 ? first : chunk.readUIntBE(at + 2, bytes)
    const inside = at + 2 + bytes
    const operation = inside + 2 + (chunk[inside + 1] ?? 0)
    if (chunk[operation] === 0x63) count++
    at = inside + length
  }
  return count
}
