/** Ports of servers that cannot be told to take any. */

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A port of loopback that nobody had a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port is free')
  return address.port
}

/**
 * Resolves when somebody listens: no server tells, so it is asked until it does. `requireAlive` throws where it never
 * will.
 */
export async function answering(port: number, requireAlive: () => void = () => {}): Promise<void> {
  for (let left = 1200; left > 0; left--) {
    requireAlive()
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      await sleep(50)
    } finally {
      socket.destroy()
    }
  }
  throw new Error(`nothing answers at port ${port}`)
}
