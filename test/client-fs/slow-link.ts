/** A link of little bandwidth between a client and a server: TCP taken in and given out at a rate that all connections share. */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface SlowLinkOptions {
  /** Where it leads. */
  readonly port: number
  /** Bytes a second, in each direction. */
  readonly rate: number
  /** Whom the bandwidth goes to: to all alike, or to the oldest connection that has something to say. */
  readonly order?: 'fair' | 'oldest first'
}

/** Milliseconds. */
const tick = 10
/** Bytes of one connection before it is another one's turn. */
const turn = 2048

interface Flow {
  readonly from: Socket
  readonly to: Socket
}

export class SlowLink {
  readonly port: number
  /** Nothing goes through any more, and nobody is told. */
  isStuck = false
  readonly #options: SlowLinkOptions
  readonly #flows = { up: new Set<Flow>(), down: new Set<Flow>() }

  static async start(t: Test, options: SlowLinkOptions): Promise<SlowLink> {
    const server = createServer((near) => link.#join(near)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const link = new SlowLink((server.address() as AddressInfo).port, options)
    let before = performance.now()
    const timer = setInterval(() => {
      const now = performance.now()
      const budget = (options.rate * Math.min(now - before, 100)) / 1000
      before = now
      for (const flows of Object.values(link.#flows)) link.#carry(flows, budget)
    }, tick)
    t.teardown(() => {
      clearInterval(timer)
      for (const { from } of [...link.#flows.up, ...link.#flows.down]) from.destroy()
      server.close()
    })
    return link
  }

  private constructor(port: number, options: SlowLinkOptions) {
    this.port = port
    this.#options = options
  }

  #join(near: Socket): void {
    const far = connect(this.#options.port, '127.0.0.1')
    const flows = [
      [this.#flows.up, { from: near, to: far }],
      [this.#flows.down, { from: far, to: near }],
    ] as const
    for (const [all, flow] of flows) {
      all.add(flow)
      // Read when there is bandwidth, not when there are bytes.
      flow.from.on('readable', () => {})
      flow.from.on('error', () => {})
      flow.from.on('close', () => {
        all.delete(flow)
        flow.to.destroy()
      })
    }
  }

  #carry(flows: Set<Flow>, budget: number): void {
    let left = this.isStuck ? 0 : budget
    for (let isIdle = false; left > 0 && !isIdle; ) {
      isIdle = true
      for (const flow of flows) {
        const count = Math.min(flow.from.readableLength, turn)
        const chunk = count > 0 ? (flow.from.read(count) as Buffer | null) : null
        if (chunk === null) continue
        flow.to.write(chunk)
        left -= chunk.length
        isIdle = false
        if (left <= 0) break
        if (this.#options.order === 'oldest first') break
      }
    }
    if (this.#options.order === 'oldest first') return
    // Whoever had his turn is the last next time.
    for (const flow of [...flows].slice(0, Math.ceil(budget / turn))) {
      flows.delete(flow)
      flows.add(flow)
    }
  }
}
