/** Issuers that are slow, down, or not themselves: who waits for them, and who notices nothing. */

import t from 'tap'
import { Keys } from '../../acl/identity/keys.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { makeClock, makeKey } from '../identity/issuer.ts'
import { alice, identityFor, issuerOf, shown } from './asking.ts'
import { json, TokenService } from './token-service.ts'

t.test('an issuer that hangs holds up nobody else', async (t) => {
  const [hanging, well] = [await TokenService.start(t), await TokenService.start(t)]
  const clock = makeClock(Date.now())
  const issuers = [issuerOf(hanging, 'hanging'), issuerOf(well, 'well')]
  const service = await identityFor(t, issuers, { now: clock.now })
  const known = hanging.opaque(alice)
  t.match(await shown(service, known), { user: 'alice@desy.de' })
  const signed = hanging.signed(alice)
  t.match(await shown(service, signed), { user: 'alice@desy.de' })
  const { promise, resolve } = Promise.withResolvers<void>()
  hanging.held = promise
  const first = shown(service, well.opaque(alice))
  const started = performance.now()
  t.match(await shown(service, known), { user: 'alice@desy.de' }, 'who is known')
  t.match(await shown(service, signed), { user: 'alice@desy.de' })
  t.match(await shown(service, well.signed(alice)), { user: 'alice@desy.de' }, 'signed tokens of the other')
  t.match(await shown(service, hanging.signed(alice)), { user: 'alice@desy.de' }, 'and of itself: its keys are known')
  t.ok(performance.now() - started < 2000)
  t.match(await first, { user: 'alice@desy.de' }, 'whoever came first waits, and then the next one is asked')
  const again = performance.now()
  t.match(await shown(service, well.opaque(alice)), { user: 'alice@desy.de' })
  const mine = Array.from({ length: 20 }, () => shown(service, hanging.opaque(alice)))
  for (const answer of await Promise.all(mine)) t.equal(answer, 'unavailable introspection')
  t.ok(performance.now() - again < 2000, 'nobody waits any more')
  resolve()
  hanging.held = undefined
  clock.pass(120)
  t.match(await shown(service, hanging.opaque(alice)), { user: 'alice@desy.de' }, 'until it is back')
})

t.test('an issuer that is down refuses nobody, and is left alone for a while', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const service = await identityFor(t, [issuerOf(issuer, 'main')], { now: clock.now })
  const token = issuer.opaque(alice)
  issuer.stop()
  t.equal(await shown(service, token), 'unavailable introspection', 'down at the start')
  const back = await TokenService.start(t, issuer.port)
  back.tokens.set(token, issuer.tokens.get(token) ?? {})
  t.equal(await shown(service, token), 'unavailable introspection')
  t.same(back.asked, [], 'it was asked a moment ago')
  clock.pass(3)
  t.match(await shown(service, token), { user: 'alice@desy.de' })
  back.stop()
  clock.pass(30)
  t.match(await shown(service, token), { user: 'alice@desy.de' }, 'what it said is believed for a minute')
  clock.pass(31)
  t.equal(await shown(service, token), 'unavailable introspection')
})

t.test('one token that its issuer chokes on does not take the issuer away from others', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main')])
  issuer.instead.set('/introspect', (_, response) => json(response, { error: 'invalid_request' }, 400))
  t.equal(await shown(service, issuer.opaque(alice)), 'unauthenticated token-inactive')
  issuer.instead.delete('/introspect')
  t.match(await shown(service, issuer.opaque(alice)), { user: 'alice@desy.de' })
})

t.test('nor does one that it fails with', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main')])
  const bad = issuer.opaque(alice)
  issuer.stumbles.add(bad)
  t.equal(await shown(service, bad), 'unavailable introspection')
  t.match(await shown(service, issuer.opaque(alice)), { user: 'alice@desy.de' }, 'at once')
})

t.test('an issuer that answers is up again, whatever it says', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const service = await identityFor(t, [issuerOf(issuer, 'main')], { now: clock.now })
  issuer.instead.set('/introspect', (_, response) => json(response, {}, 500))
  t.equal(await shown(service, issuer.opaque(alice)), 'unavailable introspection')
  issuer.instead.set('/introspect', (_, response) => json(response, { error: 'invalid_request' }, 400))
  clock.pass(3)
  t.equal(await shown(service, issuer.opaque(alice)), 'unauthenticated token-inactive')
  issuer.instead.delete('/introspect')
  t.match(await shown(service, issuer.opaque(alice)), { user: 'alice@desy.de' })
})

t.test('keys outlive their issuer by two days, and no more', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const service = await identityFor(t, [issuerOf(issuer, 'main')], { now: clock.now })
  const token = () => {
    const now = Math.floor(clock.now() / 1000)
    return issuer.signed({ ...alice, iat: now, exp: now + 600 })
  }
  t.match(await shown(service, token()), { user: 'alice@desy.de' })
  issuer.stop()
  for (const hours of [7, 12, 24, 4]) {
    clock.pass(hours * 3600)
    t.match(await shown(service, token()), { user: 'alice@desy.de' }, `${hours} hours later`)
  }
  clock.pass(2 * 3600)
  t.equal(await shown(service, token()), 'unavailable token-key')
})

t.test('what is no key set of this issuer is none', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const key = issuer.keys[0] ?? makeKey('one')
  const [other] = [await TokenService.start(t)]
  const thousands = Array.from({ length: 5000 }, (_, index) => ({ ...key.jwk, kid: `k${index}` }))
  const find = async () => {
    const options = issuerOf(issuer, 'main')
    const keys = new Keys(options, { now: clock.now, deadline: 1000 })
    try {
      await keys.find('one', 'ES256')
      return 'ok'
    } catch (error) {
      return `${StorageError.from(error).code}: ${StorageError.reasonOf(StorageError.from(error))?.text}`
    } finally {
      keys.close()
    }
  }
  t.equal(await find(), 'ok')
  issuer.metadata = { issuer: `${issuer.url}/` }
  t.match(await find(), /^unavailable: its discovery document is of another issuer/)
  issuer.metadata = { jwks_uri: `${other.url}/jwks` }
  t.match(await find(), /^unavailable: jwks_uri .* is not at an origin/)
  issuer.metadata = {}
  const rows: ReadonlyArray<readonly [string, (response: Parameters<typeof json>[0]) => void, RegExp]> = [
    ['HTML', (response) => json(response, '<html>', 200, 'text/html'), /^unavailable: .*not JSON/],
    ['JSON called otherwise', (response) => json(response, { keys: [key.jwk] }, 200, 'text/plain'), /^ok$/],
    ['huge', (response) => json(response, { keys: [key.jwk], more: 'x'.repeat(2 ** 19) }), /^unavailable: .*larger/],
    ['thousands of keys', (response) => json(response, { keys: thousands }), /^unavailable: .*larger/],
    [
      'hundreds of keys',
      (response) => json(response, { keys: [...thousands.slice(0, 400), key.jwk] }),
      /^unauthenticated/,
    ],
    [
      'a redirect',
      (response) => void response.writeHead(302, { location: `${other.url}/jwks` }).end(),
      /^unavailable: .*origin/,
    ],
    ['in circles', (response) => void response.writeHead(302, { location: '/jwks' }).end(), /^unavailable: .*often/],
    [
      'half of it',
      (response) => void response.writeHead(200, { 'content-length': '999' }).write('{"keys":'),
      /^unavailable: .*time/,
    ],
  ]
  for (const [what, answer, expected] of rows) {
    issuer.instead.set('/jwks', (_, response) => answer(response))
    t.match(await find(), expected, what)
  }
  t.same(other.asked, [])
})
