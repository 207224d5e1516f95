/**
 * Addresses that a caller may make the gateway talk to. What is not on the public Internet (IANA's registries of
 * special-purpose addresses, RFC 6890) is off limits unless the configuration names its network. Addresses that stand
 * for another address, for many hosts or for none always are, whatever is named.
 */

import { BlockList, isIP } from 'node:net'
import { StorageError } from '../../core/errors.ts'

/** Lists by family: a list of both would take an IPv4-mapped address for the IPv4 one. */
type Networks = Readonly<Record<4 | 6, BlockList>>

/** This network, link-local (cloud metadata too), multicast, reserved (RFC 1122, 3927, 5771, 1112). */
const never4 = ['0.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4']
/** Private, shared, loopback, protocol assignments, documentation, benchmarks, 6to4 relays. */
const special4 = [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
]
/** All others stand for an IPv4 address (mapped, compatible, NAT64), a link or a group. */
const possible6 = ['::1', 'fc00::/7', '2000::/3']
/** Teredo and 6to4 hold IPv4 addresses (RFC 4380, 3056). */
const never6 = ['2001::/32', '2002::/16']
/** Loopback, unique local, protocol assignments, documentation. */
const special6 = ['::1', 'fc00::/7', '2001::/23', '2001:db8::/32', '3fff::/20']

const never: Networks = parseNetworks([...never4, ...never6])
const special: Networks = parseNetworks([...special4, ...special6])
const possible: Networks = parseNetworks(['0.0.0.0/0', ...possible6])

/** Addresses and networks in CIDR notation. Throws `invalid` for anything else. */
export function parseNetworks(texts: readonly string[]): Networks {
  const lists = { 4: new BlockList(), 6: new BlockList() }
  for (const text of texts) {
    const [address = '', bits, more] = text.split('/')
    const family = isIP(address)
    const most = family === 4 ? 32 : 128
    const isNumber = bits === undefined || /^\d{1,3}$/.test(bits)
    const prefix = Number(bits ?? most)
    if ((family !== 4 && family !== 6) || more !== undefined || !isNumber || prefix > most) {
      throw new StorageError('invalid', `not an address or network: ${text}`)
    }
    lists[family].addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return lists
}

/** Whether the gateway may connect there; `listed`: networks that the configuration opens. What is no address is not. */
export function mayConnect(address: string, listed: Networks): boolean {
  const family = isIP(address)
  // An address with a zone is link-local, and a BlockList does not know it.
  if ((family !== 4 && family !== 6) || address.includes('%')) return false
  if (family === 6 && isIsatap(address)) return false
  const isIn = (networks: Networks) => networks[family].check(address, family === 4 ? 'ipv4' : 'ipv6')
  return isIn(possible) && !isIn(never) && (!isIn(special) || isIn(listed))
}

/** An address of any network whose last half stands for an IPv4 address (RFC 5214, section 6.1). */
function isIsatap(address: string): boolean {
  // URL writes each address in one way, without dots (URL Standard, section 3.5).
  const text = URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? ''
  const [first = [], last = []] = text.split('::').map((part) => (part === '' ? [] : part.split(':')))
  const groups = [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last]
  return groups[5] === '5efe' && (groups[4] === '0' || groups[4] === '200')
}
