/** What lies between a mount and its gateway, and what it may do to connections. */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface Fault {
  /** Bytes of requests, and of answers, that still pass on each connection. */
  readonly up?: number
  readonly down?: number
  /** What comes in the place of the answer then; otherwise the connection is cut. */
  readonly rubbish?: string
  /** Nothing more passes, and nothing is told. */
  readonly hole?: boolean
}

export class Between {
  /** Of the gateway; another one after it was started again. */
  port: number
  /** For connections from now on, and those that stand. */
  fault: Fault | undefined
  /** Connections that were accepted. */
  count = 0
  readonly #server: Server
  readonly #pairs = new Set<Pair>()

  static async start(t: Test, port: number): Promise<Between> {
    const proxy = new Between(port)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    t.teardown(() => proxy.close())
    return proxy
  }

  private constructor(port: number) {
    this.port = port
    this.#server = createServer((socket) => {
      this.count++
      const pair = new Pair(this, socket, connect(this.port, '127.0.0.1'))
      this.#pairs.add(pair)
      socket.on('close', () => this.#pairs.delete(pair))
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Each connection begins anew to count. */
  spoil(fault: Fault | undefined): void {
    this.fault = fault
    for (const pair of this.#pairs) pair.begin()
  }

  cutAll(): void {
    for (const pair of this.#pairs) pair.cut()
  }

  close(): void {
    this.cutAll()
    this.#server.close()
  }
}

class Pair {
  readonly #proxy: Between
  readonly #near: Socket
  readonly #far: Socket
  #up = 0
  #down = 0

  constructor(proxy: Between, near: Socket, far: Socket) {
    this.#proxy = proxy
    this.#near = near
    this.#far = far
    near.on('data', (chunk: Buffer) => {
      const rest = this.#left('up', this.#up)
      this.#up += chunk.length
      this.#pass(far, chunk, rest)
    })
    far.on('data', (chunk: Buffer) => {
      const rest = this.#left('down', this.#down)
      this.#down += chunk.length
      this.#pass(near, chunk, rest)
    })
    for (const socket of [near, far]) socket.on('error', () => {}).on('close', () => this.cut())
  }

  begin(): void {
    this.#up = 0
    this.#down = 0
  }

  cut(): void {
    if (this.#proxy.fault?.hole) return
    this.#near.destroy()
    this.#far.destroy()
  }

  #left(way: 'up' | 'down', passed: number): number {
    const most = this.#proxy.fault?.[way]
    return most === undefined ? Number.POSITIVE_INFINITY : Math.max(0, most - passed)
  }

  #pass(to: Socket, chunk: Buffer, left: number): void {
    const { fault } = this.#proxy
    if (fault?.hole) return
    if (chunk.length <= left) {
      to.write(chunk)
      return
    }
    if (left > 0) to.write(chunk.subarray(0, left))
    if (fault?.rubbish !== undefined) this.#near.write(fault.rubbish)
    to.end(() => this.cut())
    setImmediate(() => this.cut())
  }
}
