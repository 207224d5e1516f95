/** Whose an address is: what one address did counts for all that its holder has. Pure; of addresses as sockets tell them. */

/** Whoever has an IPv6 address has 2^64 of them (RFC 6177), so they count as one. */
export function networkOf(address: string): string {
  return address.includes(':') ? groupsOf(address).slice(0, 4).join(':') : address
}

/** What a provider gets at once: a /32 of IPv6 (RFC 6177 gives a site up to a /48 of it), and of IPv4 a /16. */
export function providerOf(address: string): string {
  if (address.includes(':')) return groupsOf(address).slice(0, 2).join(':')
  return /^\d+(?:\.\d+){3}$/.test(address) ? address.split('.').slice(0, 2).join('.') : address
}

function groupsOf(address: string): readonly string[] {
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === undefined || tail === '' ? [] : tail.split(':')
  const missing = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length)
  const groups = [...front, ...Array.from({ length: missing }, () => '0'), ...back]
  return groups.map((group) => Number.parseInt(group, 16).toString(16))
}
