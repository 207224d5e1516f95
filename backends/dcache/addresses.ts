/** Addresses of callers and of those we talk to. */

import { isIP } from 'node:net'

/** Whether a URL's host name is this machine, so that nobody listens in between. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/** As an `ip` caveat knows it; undefined for what is no address, such as a link-local one that needs an interface. */
export function addressOf(from: string): string | undefined {
  const plain = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(from)?.[1] ?? from
  return isIP(plain) !== 0 && !plain.includes('%') ? plain : undefined
}
