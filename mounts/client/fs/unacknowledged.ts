/** How much of what a connection was given is still on its way: the kernel's own count. */

import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'

/** While connections come and go, a line may be missed. */
const tries = 3

/**
 * Bytes that the kernel has taken and the other side has not acknowledged (`tx_queue` of /proc/net/tcp: proc(5)). Undefined
 * where that cannot be told. The whole table is read: not for what is done often.
 */
export async function unacknowledged(socket: Socket): Promise<number | undefined> {
  for (let attempt = 0; attempt < tries; attempt++) {
    const { localPort, remotePort, remoteFamily } = socket
    if (localPort === undefined || remotePort === undefined) return undefined
    // Another system, or a sandbox that does not show it.
    const text = await readFile(`/proc/self/net/tcp${remoteFamily === 'IPv6' ? '6' : ''}`, 'latin1').catch(() => '')
    const line = new RegExp(
      `([0-9A-F]+:${hex(localPort)} [0-9A-F]+:${hex(remotePort)}) [0-9A-F]{2} ([0-9A-F]{8}):`,
      'g',
    )
    const found = new Map([...text.matchAll(line)].map(([, ends, queue = '']) => [ends, Number.parseInt(queue, 16)]))
    // Two connections may differ in an address alone: then nobody knows which one is ours.
    if (found.size === 1) return [...found.values()][0]
  }
  return undefined
}

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}
