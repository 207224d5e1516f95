/** A network that breaks: a proxy that resets connections after so many bytes of what clients send. */

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

export class CuttingProxy {
  /** Bytes from the client after which each of the next connections is reset; those after them stay. */
  readonly cuts: number[] = []
  readonly #server: Server
  readonly #target: () => number
  readonly #sockets = new Set<Socket>()

  private constructor(target: () => number) {
    this.#target = target
    this.#server = createServer((client) => this.#pass(client))
  }

  /** `target`: the port on loopback, asked for with each connection. It is closed with the test. */
  static async open(t: Test, target: () => number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    t.teardown(() => {
      proxy.#server.close()
      for (const socket of proxy.#sockets) socket.destroy()
    })
    return proxy
  }

  get url(): string {
    const address = this.#server.address()
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  }

  #pass(client: Socket): void {
    const server = connect(this.#target(), '127.0.0.1')
    let left = this.cuts.shift() ?? Number.POSITIVE_INFINITY
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => this.#sockets.delete(socket))
    }
    client.on('data', (bytes: Buffer) => {
      left -= bytes.length
      if (left > 0) return
      client.resetAndDestroy()
      server.resetAndDestroy()
    })
    client.pipe(server)
    server.pipe(client)
  }
}
