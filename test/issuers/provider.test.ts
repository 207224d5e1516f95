/** The provider that others run (npm oidc-provider): its opaque and signed tokens, its word on them, its revocation. */

import { once } from 'node:events'
import http, { type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { IssuerOptions } from '../../acl/identity/options.ts'
import { Secret } from '../../acl/secret.ts'
import { audience } from '../identity/setting.ts'
import { identityFor, shown } from './asking.ts'

/** What is used of the library. */
type Library = {
  readonly default: new (
    issuer: string,
    settings: object,
  ) => { callback(): RequestListener; on(event: string, heard: () => void): void }
}

// It brings no types.
const name = 'oidc-provider'
const library = (await import(name)) as Library

interface TokenContext {
  readonly oidc: { readonly params?: { readonly scope?: string } }
}

/** Tokens of the client `alice`; those with the scope `signed` are JWTs. */
async function start(t: Test, Provider: Library['default']) {
  const server = http.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const client = (id: string) => ({
    ...{ client_id: id, client_secret: `${id}-secret`, redirect_uris: [], response_types: [] },
    grant_types: ['client_credentials'],
  })
  const provider = new Provider(url, {
    clients: [client('alice'), client('gateway')],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: ({ oidc }: TokenContext) => ({
          ...{ scope: 'opaque signed', audience, accessTokenTTL: 600 },
          accessTokenFormat: oidc.params?.scope === 'signed' ? 'jwt' : 'opaque',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: () => ({ sub: 'a-1', uid: 'alice', groups: ['photon'] }),
  })
  server.on('request', provider.callback())
  const post = (path: string, form: Readonly<Record<string, string>>) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from('alice:alice-secret').toString('base64')}` },
      body: new URLSearchParams(form),
    })
  const token = async (scope: 'opaque' | 'signed') => {
    const answer = (await (await post('/token', { grant_type: 'client_credentials', scope })).json()) as object
    if ('access_token' in answer) return String(answer.access_token)
    throw new Error(JSON.stringify(answer))
  }
  return { url, token, revoke: async (each: string) => void (await post('/token/revocation', { token: each })) }
}

t.test('its tokens are good here as long as they are there', async (t) => {
  const { url, token, revoke } = await start(t, library.default)
  let ahead = 0
  const options: IssuerOptions = {
    ...{ issuer: url, name: 'real', keys: { discovery: true }, insecure: true, audiences: [audience] },
    ...{ profile: 'plain', groups: { claim: 'groups' } },
    introspection: {
      ...{ origins: [], clientId: 'gateway', clientSecret: new Secret('gateway-secret'), authentication: 'basic' },
      ...{ jwts: false, userInfo: false, withoutAudience: false, remember: 1 },
    },
  }
  const service = await identityFor(t, [options], { now: () => Date.now() + ahead })
  const [opaque, signed] = [await token('opaque'), await token('signed')]
  t.notMatch(opaque, /\./)
  t.match(signed, /^[\w-]+\.[\w-]+\.[\w-]+$/)
  for (const each of [opaque, signed]) {
    const said = await shown(service, each)
    // A client that comes for itself is the subject of a signed token.
    t.match(said, {
      id: `${url}|${each === opaque ? 'a-1' : 'alice'}`,
      user: 'alice@desy.de',
      credential: { issuer: url, audiences: [audience] },
    })
    t.ok(typeof said === 'object' && said.groups.has('photon@real'))
  }
  await revoke(opaque)
  ahead = 1500
  t.equal(await shown(service, opaque), 'unauthenticated token-inactive')
  t.equal(await shown(service, `${opaque.slice(0, -1)}x`), 'unauthenticated token-inactive')
  t.match(await service.checkIssuers(), [{ level: 'ok' }, { subject: 'introspection', level: 'ok' }])
})
