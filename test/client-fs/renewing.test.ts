/** Logins that are renewed: as seldom as can be, by one at a time, and never for somebody else. */

import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { Issuer } from '../../mounts/client/credentials/issuer.ts'
import { type Login, Logins } from '../../mounts/client/credentials/logins.ts'
import { StoredLogin } from '../../mounts/client/credentials/stored-login.ts'
import { stampOf, WatchedToken } from '../../mounts/client/credentials/watched.ts'
import { readTokenFile } from '../../mounts/client/token.ts'
import { portolan } from '../cli/running.ts'
import { Pretended, say } from './pretended.ts'

const origin = 'https://gateway.example'

function scratch(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-renewing-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Gives another token each time (RFC 6749, section 6). */
async function issuer(t: Test, more: object = {}) {
  const told = { given: 0, url: '' }
  const server = createServer((request, response) => {
    const metadata = {
      ...{ issuer: told.url, token_endpoint: `${told.url}/token`, jwks_uri: `${told.url}/keys` },
      ...{ authorization_endpoint: `${told.url}/auth`, response_types_supported: ['code'] },
    }
    const tokens = () => ({ access_token: `access-${++told.given}`, token_type: 'Bearer', refresh_token: 'secret-r' })
    const answer = request.url === '/token' ? { ...tokens(), expires_in: 3600, ...more } : metadata
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    request.resume()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  told.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return told
}

function loginOf(more: Partial<Login> = {}): Login {
  return {
    ...{ origin, issuer: 'http://127.0.0.1:1', clientId: 'c', scopes: ['openid'] },
    ...{ accessToken: new Secret('first'), expires: Date.now() + 3_600_000, refreshToken: new Secret('refresh') },
    ...more,
  }
}

t.test('a gateway that refuses every token does not make us renew for ever', async (t) => {
  const given = await issuer(t)
  const gateway = await Pretended.start(t)
  const logins = new Logins(scratch(t))
  await logins.keep(loginOf({ origin: gateway.url, issuer: given.url }))
  const source = new StoredLogin({ logins, origin: gateway.url })
  const fs = await gateway.reach(t, {}, source)
  gateway.misbehave = ({ what, response }) => {
    if (what === 'op/space') say(response, 401, { code: 'unauthenticated' })
    return what === 'op/space'
  }
  for (let time = 0; time < 5; time++) {
    await t.rejects(fs.space('/' as Parameters<typeof fs.space>[0]), { code: 'unauthenticated' })
  }
  t.equal(given.given, 1)
})

t.test('whoever asks while the login is read is given its token, not none', async (t) => {
  const logins = new Logins(scratch(t))
  await logins.keep(loginOf())
  const source = new StoredLogin({ logins, origin })
  const tokens = await Promise.all([source.current(), source.current(), source.current()])
  t.same(
    tokens.map((token) => token?.reveal()),
    ['first', 'first', 'first'],
  )
})

t.test('a login that cannot be read is no reason to go without one', async (t) => {
  const logins = new Logins(scratch(t))
  await logins.keep(loginOf())
  const known = new StoredLogin({ logins, origin })
  await known.current()
  chmodSync(logins.fileOf(origin), 0o644)
  const source = new StoredLogin({ logins, origin })
  await t.rejects(source.current(), { code: 'invalid' })
  await t.rejects(source.current(), { code: 'invalid' }, 'nor the second time')
  t.equal(await known.refused(new Secret('first')).catch(() => false), false)
  t.equal((await known.current())?.reveal(), 'first', 'what is known is used on')
})

t.test('an answer of the issuer that is none tells no token to whoever prints the error', async (t) => {
  const given = await issuer(t, { token_type: 'strange', expires_in: 'soon' })
  const found = await Issuer.find({ issuer: given.url, clientId: 'c' })
  const error: unknown = await found.refresh(new Secret('old-secret')).catch((thrown: unknown) => thrown)
  t.match(error, { code: 'unavailable' })
  t.notMatch(inspect(error, { depth: 10 }), /access-1|secret-r|old-secret/)
})

t.test('a clock that is set back keeps nobody from looking at a token file', async (t) => {
  const file = join(scratch(t), 'token')
  writeFileSync(file, 'one', { mode: 0o600 })
  const clock = { now: 10_000_000 }
  const source = new WatchedToken({
    ...{ place: 'the file', read: () => readTokenFile(file), stamp: () => stampOf(file) },
    ...{ isNeeded: true, now: () => clock.now },
  })
  t.equal((await source.current())?.reveal(), 'one')
  writeFileSync(file, 'second')
  clock.now -= 3_600_000
  t.equal((await source.current())?.reveal(), 'second')
})

t.test('nobody logs in for a gateway that is reached over plain HTTP', async (t) => {
  const env = { PORTOLAN_URL: 'http://gateway.example', XDG_STATE_HOME: scratch(t) }
  const { code, stderr } = await portolan(['login'], { env })
  t.equal(code, 2)
  t.match(stderr, /plain HTTP/)
})
