/** A stand-in dCache with alice and bob, and the delegation that leads there, for tests of credentials. */

import type { Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { Breaker } from '../../backends/dcache/breaker.ts'
import { Delegation, type DelegationOptions } from '../../backends/dcache/credentials.ts'
import { HttpDoor } from '../../backends/dcache/door.ts'
import { PoolPolicy } from '../../backends/dcache/pools.ts'
import { makeAgents } from '../../backends/dcache/sending.ts'
import { type DcacheDouble, type DcacheDoubleOptions, startDcache } from '../doubles/dcache/dcache.ts'
import { alice, issuer } from './issuing.ts'

export const delegationTo: DelegationOptions = {
  accepts: [{ issuer, audiences: ['dcache'] }],
  send: 'macaroon',
  capabilities: 'never',
  otherwise: 'refuse',
}

export interface TestSite {
  readonly dcache: DcacheDouble
  readonly webdav: HttpDoor
  readonly frontend: HttpDoor
  readonly delegation: Delegation
}

/** Everything is let go of with the test. */
export async function startSite(
  t: Test,
  options: DcacheDoubleOptions = {},
  delegated: Partial<DelegationOptions> = {},
): Promise<TestSite> {
  const users = [
    { name: 'alice', uid: 1000, gids: [1000], tokens: ['token-of-alice'] },
    { name: 'bob', uid: 1001, gids: [1000], tokens: ['token-of-bob'] },
    { name: 'gateway', uid: 900, gids: [900], password: 'secret', isAdmin: true },
  ]
  const dcache = await startDcache({ users, plainMacaroons: true, ...options })
  const delegation = new Delegation({ ...delegationTo, ...delegated }, () => webdav)
  const agents = { door: makeAgents({ connections: 8 }), bytes: makeAgents({ connections: 8 }) }
  const pools = new PoolPolicy(dcache.webdav, ['127.0.0.1', 'localhost'], { insecure: true })
  const doorTo = (url: URL) =>
    new HttpDoor({
      url,
      credentials: delegation,
      pools,
      agents,
      deadline: 10_000,
      stall: 10_000,
      breaker: new Breaker({ pause: 20 }),
    })
  const webdav = doorTo(dcache.webdav)
  const frontend = doorTo(dcache.frontend)
  t.teardown(async () => {
    await Promise.all([webdav.close(), frontend.close(), delegation.close()])
    agents.door.close()
    agents.bytes.close()
    await dcache.close()
  })
  return { dcache, webdav, frontend, delegation }
}

/** Alice or bob, by a token that the stand-in knows. */
export function user(name: 'alice' | 'bob', more: Partial<Principal> = {}): Principal {
  const secret = new Secret(`token-of-${name}`)
  return alice({
    id: `${issuer}|${name}`,
    user: `${name}@example.org`,
    credential: { kind: 'bearer', secret, issuer, audiences: ['dcache'] },
    ...more,
  })
}
