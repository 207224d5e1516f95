/** Whom clients trust over TLS: an authority that they were named, and nobody because of the environment. */

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { sourceFrom } from '../../mounts/client/credentials/choose.ts'
import { Issuer } from '../../mounts/client/credentials/issuer.ts'
import { Logins, loginsDirectory } from '../../mounts/client/credentials/logins.ts'
import { portolan } from '../cli/running.ts'
import { CertificateAuthority, forLoopback } from '../peers/certificate-authority.ts'

/** An issuer and a gateway in one, as far as somebody comes who logs in or renews a token. */
async function start(t: Test) {
  const authority = new CertificateAuthority(t)
  const asked: string[] = []
  const server = createServer(authority.certify('/CN=issuer', { extensions: forLoopback }), (request, response) => {
    asked.push(request.url ?? '')
    const metadata = {
      ...{ issuer: url, token_endpoint: `${url}/token`, jwks_uri: `${url}/keys` },
      ...{ authorization_endpoint: `${url}/auth`, response_types_supported: ['code'] },
    }
    const tokens = { access_token: 'renewed', token_type: 'Bearer', refresh_token: 'next', expires_in: 3600 }
    const answers: Readonly<Record<string, object>> = {
      '/token': tokens,
      '/.portolan/api/v1/login-options': { issuers: [] },
    }
    const answer = answers[request.url ?? ''] ?? metadata
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    request.resume()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, authority, asked }
}

t.test('the issuer of a login is trusted by the authority that was named for the gateway', async (t) => {
  const { url, authority } = await start(t)
  const env = { XDG_STATE_HOME: authority.directory }
  const logins = new Logins(loginsDirectory(env))
  const origin = new URL('https://gateway.example')
  const login = { origin: origin.origin, issuer: url, clientId: 'c', scopes: [], expires: Date.now() - 1 }
  await logins.keep({ ...login, accessToken: new Secret('old'), refreshToken: new Secret('refresh') })
  const source = (ca?: string) => sourceFrom({ origin, ca, around: { env, uid: 4_000_000_000 } })
  await t.rejects(source().current(), { code: 'unavailable', message: /--ca/ })
  const stranger = new CertificateAuthority(t, '/CN=Stranger')
  await t.rejects(source(stranger.cert).current(), { code: 'unavailable', message: /--ca/ })
  t.equal((await source(authority.cert).current())?.reveal(), 'renewed')
})

t.test('portolan login uses --ca for the issuer', async (t) => {
  const { url, authority, asked } = await start(t)
  const ca = join(authority.directory, 'given.pem')
  writeFileSync(ca, authority.cert)
  const words = ['login', '--url', url, '--issuer', url, '--client-id', 'c', '--ca', ca]
  const { code, stderr } = await portolan(words, { env: { XDG_STATE_HOME: authority.directory } })
  t.not(code, 0)
  // It was reached, and offers no login without a browser.
  t.match(stderr, /RFC 8628/)
  t.ok(asked.includes('/.well-known/openid-configuration'))
})

t.test('no variable of the environment turns the checks of certificates off', async (t) => {
  const { url, asked } = await start(t)
  const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0' }
  const at = (file: string) => JSON.stringify(join(import.meta.dirname, '../../mounts/client', file))
  const script = `
    const { Issuer } = await import(${at('credentials/issuer.ts')})
    const { Transport } = await import(${at('transport.ts')})
    const { Dialer } = await import(${at('fs/dial.ts')})
    const origin = new URL(${JSON.stringify(url)})
    const ways = [
      () => Issuer.find({ issuer: origin.origin, clientId: 'c' }),
      () => new Transport({ origin }).ask({ method: 'GET', target: '/' }),
      () => new Dialer({ origin }).dial({ limit: 5000 }),
    ]
    for (const way of ways) console.log(await way().then(() => 'trusted', (error) => error.message))
    process.exit()`
  const told = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, ['--input-type=module', '-e', script], { env }, (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    )
  })
  const lines = told.trim().split('\n')
  t.equal(lines.length, 3)
  for (const line of lines) t.match(line, /the certificate is not trusted/)
  t.same(asked, [])
  await t.rejects(Issuer.find({ issuer: url, clientId: 'c' }), { code: 'unavailable' }, 'nor here')
})

t.test('nor those of an issuer that the gateway asks', async (t) => {
  const { url, authority, asked } = await start(t)
  const file = join(authority.directory, 'portolan.yaml')
  const listen = [{ address: '127.0.0.1', port: 0 }]
  const state = { directory: join(authority.directory, 'state') }
  const mounts = [{ path: '/data', backend: { type: 'posix', root: authority.directory } }]
  const issuers = [{ issuer: url, name: 'main', audiences: ['x'], profile: 'plain', keys: { discovery: true } }]
  writeFileSync(file, JSON.stringify({ domain: 'example.org', listen, state, issuers, mounts }))
  const { code, stdout, stderr } = await portolan(['check', '--config', file], {
    env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
  })
  t.not(code, 0)
  t.match(stderr, /NODE_TLS_REJECT_UNAUTHORIZED is ignored/)
  t.match(stdout, /ERROR .* cannot be reached \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/)
  t.same(asked, [])
})
