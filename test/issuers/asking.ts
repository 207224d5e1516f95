/** One identity service that asks issuers about tokens, as it stands in tests. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { IdentityOptions, IntrospectionOptions, IssuerOptions } from '../../acl/identity/options.ts'
import { createIdentity, type IdentityService } from '../../acl/identity/service.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { directoryFor } from '../identity/issuer.ts'
import { accounts, audience, refusal } from '../identity/setting.ts'
import type { TokenService } from './token-service.ts'

/** How a service's issuer is configured. */
export function issuerOf(
  { url, client }: TokenService,
  name: string,
  asking: Partial<IntrospectionOptions> = {},
  more: Partial<IssuerOptions> = {},
): IssuerOptions {
  return {
    ...{ issuer: url, name, keys: { discovery: true }, insecure: true, audiences: [audience], profile: 'plain' },
    groups: { claim: 'groups' },
    introspection: {
      ...{ origins: [], clientId: client.id, clientSecret: new Secret(client.secret), authentication: 'basic' },
      ...{ jwts: false, userInfo: false, withoutAudience: false, remember: 60 },
      ...asking,
    },
    ...more,
  }
}

export async function identityFor(
  t: Test,
  issuers: readonly IssuerOptions[],
  more: Partial<IdentityOptions> = {},
): Promise<IdentityService> {
  const file = join(directoryFor(t), 'accounts.yaml')
  writeFileSync(file, accounts, { mode: 0o600 })
  const service = await createIdentity({
    domain: 'desy.de',
    issuers,
    mapping: issuers.map(({ name }) => ({ issuer: name, claim: 'uid', account: '{value}' })),
    accounts: [{ file }],
    minUid: 1000,
    administrators: [],
    ...more,
  })
  t.teardown(() => service.close())
  return service
}

/** Who the token's bearer is, or code and rule of the refusal. */
export async function shown(
  service: IdentityService,
  token: string,
  more: { readonly from?: string; readonly certificate?: string } = {},
): Promise<Principal | string> {
  try {
    return await service.authenticate({ kind: 'bearer', token: new Secret(token), ...more })
  } catch (error) {
    return refusal(error)
  }
}

/** Claims of alice's tokens. */
export const alice = { sub: 'a-1', aud: audience, uid: 'alice' }
