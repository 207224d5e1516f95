/** Who is really calling when proxies stand in between. Only configured proxies are believed. */

import { BlockList, isIP } from 'node:net'
import { StorageError } from '../core/errors.ts'

/** Addresses and networks in CIDR notation. Throws `invalid` for anything else. */
export function parseProxies(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', prefix, more] = network.split('/')
    const family = isIP(address)
    const bits = prefix === undefined ? (family === 4 ? 32 : 128) : Number(prefix)
    const whole = prefix === undefined || /^\d{1,3}$/.test(prefix)
    if (family === 0 || more !== undefined || !whole || bits > (family === 4 ? 32 : 128)) {
      throw new StorageError('invalid', `not an address or network: ${network}`)
    }
    list.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

/** An IPv4 address that a dual-stack socket shows as IPv6 is written as what it is. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address
}

/** Whether `address` is a trusted proxy. What is no address is not. */
export function isTrusted(proxies: BlockList, address: string): boolean {
  const family = isIP(address)
  return family !== 0 && proxies.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

const maxHops = 32

/**
 * The caller behind a trusted `peer`: X-Forwarded-For read from its end, over further trusted
 * proxies, to the first address that is none. Whatever stands before it was written by the caller.
 */
export function callerBehind(proxies: BlockList, peer: string, header: string | undefined): string {
  if (header === undefined || !isTrusted(proxies, peer)) return peer
  let from = peer
  for (const hop of header.split(',').slice(-maxHops).reverse()) {
    const address = addressOf(hop.trim())
    if (address === undefined) return from
    from = address
    if (!isTrusted(proxies, address)) return from
  }
  return from
}

/** Some proxies add the port. */
function addressOf(hop: string): string | undefined {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop)?.[1] ?? hop
  return isIP(bare) === 0 ? undefined : plainAddress(bare)
}
