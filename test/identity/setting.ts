/** One identity service as the vectors of the WLCG profile assume it: issuer I below /vo, J below /j, and others. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { IdentityOptions } from '../../acl/identity/options.ts'
import { createIdentity, type IdentityService } from '../../acl/identity/service.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { directoryFor, makeClock, makeKey, type SigningKey, signToken } from './issuer.ts'

export const audience = 'https://gw.example.org'
export const anyAudience = 'https://wlcg.cern.ch/jwt/v1/any'
export const issuerI = 'https://vo.example.org'
export const issuerJ = 'https://j.example.org'
export const issuerS = 'https://sci.example.org'
export const issuerP = 'https://login.example.org/oauth2'

export interface Setting {
  readonly service: IdentityService
  readonly options: IdentityOptions
  readonly clock: ReturnType<typeof makeClock>
  readonly directory: string
  readonly key: SigningKey
  /** Claims of a good WLCG token of issuer I for one hour. */
  claims(more?: Readonly<Record<string, unknown>>): Record<string, unknown>
  /** A good token of issuer I with these claims changed. */
  token(more?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): string
}

export const accounts = `
users:
  alice: { uid: 2001, gid: 2001, groups: [p01] }
  bob: { uid: 2002, gid: 2002 }
  vo-prod: { uid: 2100, gid: 2100 }
  j-prod: { uid: 2101, gid: 2101 }
  admin: { uid: 2003, gid: 2003 }
  low: { uid: 12, gid: 12 }
groups:
  p01: { gid: 3001 }
  cms: { gid: 3002 }
  wheel: { gid: 0 }
`

export async function makeSetting(t: Test, change: Partial<IdentityOptions> = {}): Promise<Setting> {
  const clock = makeClock()
  const directory = directoryFor(t)
  const key = makeKey('k1')
  const jwksFile = join(directory, 'jwks.json')
  const file = join(directory, 'accounts.yaml')
  writeFileSync(jwksFile, JSON.stringify({ keys: [key.jwk] }))
  writeFileSync(file, accounts, { mode: 0o600 })
  const common = { keys: { jwksFile }, audiences: [audience, anyAudience] }
  const options: IdentityOptions = {
    domain: 'desy.de',
    issuers: [
      { ...common, issuer: issuerI, name: 'vo', profile: 'wlcg', basePath: parsePath('/vo'), account: 'vo-prod' },
      { ...common, issuer: issuerJ, name: 'j', profile: 'wlcg', basePath: parsePath('/j'), account: 'j-prod' },
      { ...common, issuer: issuerS, name: 'sci', profile: 'scitokens', basePath: parsePath('/vo'), account: 'vo-prod' },
      { ...common, issuer: issuerP, name: 'login', profile: 'plain', groups: { claim: 'entitlements' } },
    ],
    mapping: [
      { issuer: 'vo', subject: 'sub-alice', account: 'alice' },
      { issuer: 'vo', group: '/vo', account: 'vo-prod' },
      { issuer: 'vo', group: '/cms', joins: 'cms' },
      { issuer: 'login', claim: 'preferred_username', account: '{value}' },
      { issuer: 'login', group: 'urn:geant:helmholtz.de:group:HIFIS', account: 'bob' },
    ],
    accounts: [{ file }],
    minUid: 1000,
    administrators: ['admin@desy.de'],
    now: clock.now,
    ...change,
  }
  const service = await createIdentity(options)
  t.teardown(() => service.close())
  const claims: Setting['claims'] = (more = {}) => {
    const now = Math.floor(clock.now() / 1000)
    const times = { iat: now, nbf: now - 60, exp: now + 3600 }
    return { iss: issuerI, sub: 'sub-robot', aud: audience, ...times, jti: 'j1', 'wlcg.ver': '1.0', ...more }
  }
  const token: Setting['token'] = (more, header) => signToken(key, claims(more), header)
  return { service, options, clock, directory, key, claims, token }
}

/** The outcome in one line: the rule of a refusal behind its code, or the principal. */
export async function outcome(service: IdentityService, token: string): Promise<Principal | string> {
  try {
    return await service.authenticate({ kind: 'bearer', token: new Secret(token) })
  } catch (error) {
    return refusal(error)
  }
}

export function refusal(thrown: unknown): string {
  const error = StorageError.from(thrown)
  return `${error.code} ${StorageError.reasonOf(error)?.rule ?? 'no reason'}`
}

/** The grants of a principal as text: `read:/vo/a`, with a final slash for directories only. */
export function grantsOf(principal: Principal | string): string[] | string {
  if (typeof principal === 'string' || principal.grants === 'unbounded') return String(principal)
  return principal.grants.map(({ kind, path, directoryOnly }) => `${kind}:${path}${directoryOnly ? '/' : ''}`)
}
