/** Identities of two processes over one state store, with everything that is made from them, for tests of links and bans. */

import type { Test } from 'tap'
import type { IdentityOptions } from '../../acl/identity/options.ts'
import { RevocationList } from '../../acl/identity/revocation-list.ts'
import { createIdentity, type IdentityService } from '../../acl/identity/service.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { openState } from '../../gateway/state/open.ts'
import { MasterKey, SecretStore } from '../../gateway/state/secrets.ts'
import type { State } from '../../gateway/state/state.ts'
import { directoryFor } from './issuer.ts'
import { bearer, lives, location } from './macaroon-world.ts'
import { issuerP, makeSetting, refusal, type Setting } from './setting.ts'

export interface Process {
  readonly service: IdentityService
  readonly options: IdentityOptions
  readonly state: State
}

export interface LinkWorld extends Omit<Setting, 'service' | 'options'> {
  readonly here: Process
  readonly there: Process
  /** A token of the issuer `login` for somebody whom no mapping rule knows. */
  person(subject: string, more?: Readonly<Record<string, unknown>>): string
  /** `subject` at the issuer `login` is that account's, as if he had linked it. */
  link(subject: string, account: string, issuer?: string): Promise<string>
}

const key = new MasterKey(Buffer.alloc(32, 7))
const day = 86_400

/** Links of the issuer `login` count for ten days. */
export async function linkWorld(t: Test, changes: Partial<IdentityOptions> = {}): Promise<LinkWorld> {
  const { service: _alone, options: standing, ...base } = await makeSetting(t)
  const directory = directoryFor(t)
  const open = async (): Promise<Process> => {
    const state = await openState({ directory, now: base.clock.now })
    const revocations = await RevocationList.open(state.revocations, (error) => t.fail(String(error)))
    const secrets = await SecretStore.open(state, [key])
    const options = { ...standing, revocations, ...stored(state, secrets), ...changes }
    const service = await createIdentity(options)
    t.teardown(async () => {
      await service.close()
      await revocations.close()
      await state.close()
    })
    return { service, options, state }
  }
  const [here, there] = [await open(), await open()]
  let last = 0
  return {
    ...base,
    here,
    there,
    person: (subject, more = {}) => base.token({ iss: issuerP, sub: subject, jti: `j${++last}`, ...more }),
    async link(subject, account, issuer = issuerP) {
      const id = `link${++last}`
      const link = { id, issuer, subject, user: `${account}@desy.de`, by: `basic:${account}@desy.de`, note: '' }
      await here.state.links.add(link, { most: 20, since: base.clock.now() - 10 * day * 1000 })
      return id
    },
  }
}

function stored(state: State, secrets: SecretStore): Partial<IdentityOptions> {
  const { revocations, sessions, appPasswords, attempts } = state
  const login = { name: 'login', label: 'Login', clientId: 'x', scopes: ['openid'], origins: [] }
  return {
    bans: revocations,
    macaroons: { ...lives, location, secrets, revocations, shares: state.shares },
    s3: { keys: state.s3Keys, secrets, revocations, lifetime: 3600, maxLifetime: 30 * day },
    links: { store: state.links, revocations, issuers: ['login'], lifetime: 10 * day },
    signIn: {
      issuers: [{ ...login, userInfo: false, endsWithToken: false }],
      ...{ passwords: true, sessions, idle: 30 * day, lifetime: 30 * day, appPasswords, attempts, revocations },
      ...{ appPasswordLifetime: day, maxAppPasswordLifetime: 30 * day },
    },
  }
}

/** Whom a credential stands for, or why for nobody. */
export async function whose(work: () => Promise<Principal | undefined>): Promise<string> {
  try {
    const principal = await work()
    return principal === undefined ? 'unknown' : String(principal.user)
  } catch (error) {
    return refusal(error)
  }
}

/** Everything that somebody can make with a token of his, each with a way to use it in a process. */
export async function madeWith(token: string, { service }: Process) {
  const principal = await service.authenticate(bearer(token))
  const { macaroons, shares, s3, appPasswords } = service
  if (!macaroons || !shares || !s3 || !appPasswords) throw new Error('nothing can be made')
  const path = '/' as Parameters<typeof macaroons.issue>[1]['path']
  const { macaroon } = await macaroons.issue(principal, { path, caveats: [] })
  const share = await shares.create(principal, { path, activities: ['LIST', 'READ_METADATA'], networks: [] })
  const name = `made with ${principal.id} ${Math.random()}`.slice(0, 90)
  const key = await s3.create(principal, { name, networks: [] })
  const session = await s3.assume(principal, { duration: 3600 })
  const { password } = await appPasswords.create(principal, { name, networks: [] })
  const user = principal.user ?? ''
  const by = (work: (service: IdentityService) => Promise<Principal | undefined>) => (process: Process) =>
    whose(() => work(process.service))
  return new Map([
    ['token', by((each) => each.authenticate(bearer(token)))],
    ['macaroon', by((each) => each.authenticate(bearer(macaroon.reveal())))],
    ['share', by((each) => each.authenticate(bearer(share.macaroon.reveal())))],
    ['key', by(async (each) => (await each.s3?.key(key.id, undefined))?.principal)],
    [
      'session',
      by(async (each) => (await each.s3?.key(session.accessKeyId, session.sessionToken.reveal()))?.principal),
    ],
    ['app password', by((each) => each.authenticate({ kind: 'basic', user, password: new Secret(password.reveal()) }))],
  ])
}
