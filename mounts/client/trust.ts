/** Whom a client trusts, and where it sends nothing that is secret. */

import { getCACertificates } from 'node:tls'
import { StorageError } from '../../gateway/core/errors.ts'

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** PEM of the authorities to trust: those given, otherwise the usual ones and those of the system. */
export function authorities(ca: string | undefined): string | string[] {
  return ca ?? [...getCACertificates('default'), ...getCACertificates('system')]
}

/** The same for whom the gateway works with: the authority of a gateway may be its own, and theirs one of the usual ones. */
export function authoritiesToo(ca: string | undefined): string[] {
  return [...[authorities(undefined)].flat(), ...(ca === undefined ? [] : [ca])]
}

/** Whether what is sent there could be read on the way. */
export function isOpenWay({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && !loopback.test(hostname)
}

/** Throws `invalid` for what is no address of a gateway, and for a password in it. */
export function requireGateway(origin: URL): void {
  if (origin.protocol !== 'http:' && origin.protocol !== 'https:') {
    throw new StorageError('invalid', 'the URL of a gateway begins with https:// or http://')
  }
  // It would be in the list of processes, and sent without the checks that a token gets.
  if (origin.username !== '' || origin.password !== '') {
    throw new StorageError('invalid', `${origin.origin}: a URL holds no user name and no password`)
  }
}
