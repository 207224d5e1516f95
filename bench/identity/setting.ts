/** Identity as a gateway has it, with a state store, on a clock of the measurement's own. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import { Epochs } from '../../acl/identity/epochs.ts'
import { sealTicket } from '../../acl/identity/kerberos/ticket-cookie.ts'
import type { IdentityOptions, MacaroonOptions, S3KeyOptions, SignInOptions } from '../../acl/identity/options.ts'
import { hashPassword } from '../../acl/identity/password.ts'
import { RevocationList } from '../../acl/identity/revocation-list.ts'
import { keepFixedKey } from '../../acl/identity/s3-keys.ts'
import { createIdentity, type IdentityService } from '../../acl/identity/service.ts'
import { Secret } from '../../acl/secret.ts'
import { openState } from '../../gateway/state/open.ts'
import { parseMasterKeys, SecretStore } from '../../gateway/state/secrets.ts'
import type { State } from '../../gateway/state/state.ts'

export const audience = 'https://bench'
export const password = 'correct-horse-battery-staple'
export const accessKey = { accessKeyId: 'AKIABENCHXXXXXXXXXXX', secret: 'secret-of-bench-0123456789abcdef' }
const issuer = 'https://issuer.bench'

export interface Setting {
  readonly service: IdentityService
  readonly clock: { now: number }
  /** A token of a user for one hour, in groups as people are. */
  token(user: string): Promise<string>
  /** What stands for a Kerberos ticket of a user; undefined where the package kerberos was not compiled. */
  ticket(user: string): Promise<Secret | undefined>
  close(): Promise<void>
}

export function userName(index: number): string {
  return `u${String(index).padStart(6, '0')}`
}

export async function startIdentity(users: number): Promise<Setting> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-bench-'))
  const signer = await createDevelopmentIssuer(join(directory, 'issuer'), issuer)
  const accounts = join(directory, 'accounts.yaml')
  writeFileSync(accounts, await accountsOf(users), { mode: 0o600 })
  const clock = { now: Date.now() }
  const state = await openState({ directory: join(directory, 'state') })
  const secrets = await SecretStore.open(state, parseMasterKeys(new Secret('5a'.repeat(32))))
  await keepFixedKey({ keys: state.s3Keys, secrets }, keyOf(accessKey))
  const revocations = await RevocationList.open(state.revocations, (error) => console.error(error))
  const options: IdentityOptions = {
    domain: 'bench',
    issuers: [{ issuer, name: 'iam', keys: { jwksFile: signer.jwksFile }, audiences: [audience], ...plain }],
    mapping: [{ issuer: 'iam', claim: 'preferred_username', account: '{value}' }],
    accounts: [{ file: accounts }],
    ...{ minUid: 1000, administrators: [], revocations, bans: state.revocations, now: () => clock.now },
    ...means(state, secrets),
    ...(hasKerberos && { kerberos }),
  }
  const service = await createIdentity(options)
  return {
    service,
    clock,
    token: (user) => signer.sign(claimsOf(user, clock.now)),
    async ticket(user) {
      const epochs = new Epochs(secrets, () => clock.now)
      const note = { name: `${user}@${kerberos.realm}`, issued: clock.now, expires: clock.now + 300_000 }
      return hasKerberos ? sealTicket(note, await epochs.current()) : undefined
    },
    async close() {
      await service.close()
      await revocations.close()
      await state.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** No ticket is opened here, so there need be no keys. */
const kerberos = {
  ...{ keytab: '/dev/null', replays: '/dev/null', services: [], realm: 'BENCH', realms: [] },
  ...{ names: [], rules: ['DEFAULT'], cookieLifetime: 300 },
}
const built = '../../node_modules/kerberos/build/Release/kerberos.node'
const hasKerberos = existsSync(join(import.meta.dirname, built))

const plain = { profile: 'plain', groups: { claim: 'groups' } } as const
const groups = ['physics', 'cms', 'flash', 'p11000001', 'p11000002']

function claimsOf(user: string, now: number) {
  const at = Math.floor(now / 1000)
  const times = { iat: at, nbf: at - 60, exp: at + 3600 }
  return { sub: `id-${user}`, aud: audience, ...times, preferred_username: user, groups, name: `User ${user}` }
}

function keyOf({ accessKeyId: id, secret }: typeof accessKey) {
  return { id, secret: new Secret(secret), user: `${userName(0)}@bench`, name: 'bench' }
}

async function accountsOf(users: number): Promise<string> {
  const hash = await hashPassword(new Secret(password))
  const lines = Array.from({ length: users }, (_, index) => {
    const more = index === 0 ? `, passwordHash: "${hash}"` : ''
    return `  ${userName(index)}: { uid: ${20_000 + index}, gid: 20000, groups: [p01]${more} }`
  })
  return `users:\n${lines.join('\n')}\ngroups:\n  p01: { gid: 3001 }\n`
}

function means(state: State, secrets: SecretStore) {
  const { revocations, shares, s3Keys: keys, sessions, appPasswords, attempts } = state
  const day = 86_400
  const macaroons: MacaroonOptions = {
    ...{ secrets, revocations, shares, location: 'https://bench' },
    ...{ defaultLifetime: day, maxLifetime: day, maxShareLifetime: day },
  }
  const s3: S3KeyOptions = { keys, secrets, revocations, lifetime: day, maxLifetime: day }
  const signIn: SignInOptions = {
    ...{ issuers: [], passwords: true, idle: day, lifetime: day },
    ...{ sessions, appPasswords, attempts, revocations },
    ...{ appPasswordLifetime: day, maxAppPasswordLifetime: day },
  }
  return { macaroons, s3, signIn }
}
