/** A gateway that accepts tickets of a real KDC, for tests from outside. */

import { chmodSync, copyFileSync, existsSync, lchownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type GatewayOptions, startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { asRoot, service } from '../gateway/people.ts'
import { everything, Guarded, look, ownerOnly } from '../gateway/tree.ts'
import { Kdc, noKdc } from '../peers/kdc.ts'

export const realm = 'LAB.EXAMPLE'
export const otherRealm = 'OTHER.EXAMPLE'
export const http = `HTTP/localhost@${realm}`
/** In the keytab, but not among the services of the gateway. */
export const host = `host/localhost@${realm}`
export const alias = `HTTP/alias.lab.example@${realm}`

const built = join(import.meta.dirname, '../../node_modules/kerberos/build/Release/kerberos.node')

/** Why nothing of this can be tested here; false where it can. For `skip`. */
export function noKerberos(): string | false {
  return noKdc() || (!existsSync(built) && 'the package kerberos was not compiled')
}

export interface TicketWorld {
  readonly kdc: Kdc
  readonly keytab: string
  readonly gateway: TestGateway
  /** The cache of somebody with a ticket. */
  login(user: string, options?: readonly string[], clock?: string): Promise<string>
}

/** Users alice, bob, carol and dave, who has no account, each with the password NAME-pw; alice is in both realms. */
export async function startTicketWorld(t: Test, options: Partial<GatewayOptions> = {}): Promise<TicketWorld> {
  const names = [...['alice', 'bob', 'carol', 'dave', 'admin'].map((name) => `${name}@${realm}`), `alice@${otherRealm}`]
  const users = Object.fromEntries(names.map((name) => [name, passwordOf(name)]))
  const kdc = await Kdc.start({ realms: [realm, otherRealm], users })
  t.teardown(() => kdc.stop())
  await kdc.trust(otherRealm, realm)
  const place = mkdtempSync(join(tmpdir(), 'portolan-keytab-'))
  t.teardown(() => rmSync(place, { recursive: true, force: true }))
  chmodSync(place, 0o755)
  const keytab = join(place, 'krb5.keytab')
  for (const name of [http, host, alias]) await kdc.addKey(name, keytab)
  give(keytab)
  const KRB5_CONFIG = join(place, 'krb5.conf')
  copyFileSync(join(kdc.directory, 'krb5.conf'), KRB5_CONFIG)
  const gateway = await startTestGateway(t, {
    environment: { KRB5_CONFIG },
    mounts: [{ path: '/data', make: makeTree }],
    ...options,
    more: {
      hosts: ['localhost', 'alias.lab.example'],
      kerberos: { keytab, realm, services: [http, alias] },
      ...options.more,
    },
  })
  const login = (user: string, more?: readonly string[], clock?: string) =>
    kdc.login(user.includes('@') ? user : `${user}@${realm}`, passwordOf(user), more, clock)
  return { kdc, keytab, gateway, login }
}

/** To the account that the gateway serves as. */
export function give(file: string): void {
  chmodSync(file, 0o600)
  if (asRoot) lchownSync(file, service.uid, service.gid)
}

export interface TokenOrder {
  readonly service?: string
  readonly count?: number
  readonly mechanism?: 'spnego' | 'bare'
}

/** Tokens of Negotiate, each for one request. */
export async function tokensOf(kdc: Kdc, cache: string, order: TokenOrder = {}): Promise<readonly string[]> {
  const { service: name = 'HTTP@localhost', count = 1, mechanism = 'spnego' } = order
  const program = [process.execPath, join(import.meta.dirname, 'make-tokens.ts'), name, String(count), mechanism]
  const text = await kdc.as(cache, program)
  return text.trim().split('\n')
}

function passwordOf(user: string): string {
  return `${user.split('@')[0]}-pw`
}

/** Everybody may look; alice may write. */
function makeTree(top: string): void {
  const tree = new Guarded(top)
  tree.directory('', 'alice', [`A:fd:OWNER@:${everything}`, `A:fd:EVERYONE@:${look}`])
  tree.file('hello', 'alice', 'hello\n')
  tree.file('big', 'alice', Buffer.alloc(64 * 2 ** 20))
  tree.directory('closed', 'alice', ownerOnly)
  tree.file('closed/own', 'alice', 'for alice alone\n')
}
