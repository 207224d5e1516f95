/** Random tokens do not become a burden to their issuers, nor keep out those whose tokens are good. */

import t from 'tap'
import { makeClock } from '../identity/issuer.ts'
import { alice, identityFor, issuerOf, shown } from './asking.ts'
import { TokenService } from './token-service.ts'

const guess = (index: number) => `guess-${index}-${'x'.repeat(20)}`

t.test('an address that guesses has to wait, and others have not', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const service = await identityFor(t, [issuerOf(issuer, 'main')], { now: clock.now })
  const answers: unknown[] = []
  for (let index = 0; index < 60; index++) answers.push(await shown(service, guess(index), { from: '192.0.2.1' }))
  t.equal(answers.filter((answer) => answer === 'unauthenticated token-inactive').length, 30)
  t.equal(answers.filter((answer) => answer === 'busy attempts').length, 30)
  t.equal(issuer.shown.length, 30)
  const token = issuer.opaque(alice)
  t.equal(await shown(service, token, { from: '192.0.2.1' }), 'busy attempts')
  t.match(await shown(service, token, { from: '192.0.2.2' }), { user: 'alice@desy.de' })
  t.match(await shown(service, token, { from: '192.0.2.1' }), { user: 'alice@desy.de' }, 'a known token is no guess')
  clock.pass(2)
  t.equal(await shown(service, guess(100), { from: '192.0.2.1' }), 'unauthenticated token-inactive', 'one more now')
  t.equal(await shown(service, guess(101), { from: '192.0.2.1' }), 'busy attempts')
  clock.pass(3600)
  const later = issuer.opaque({ ...alice, iat: undefined, exp: undefined })
  t.match(await shown(service, later, { from: '192.0.2.1' }), { user: 'alice@desy.de' })
})

t.test('guesses count while another issuer is down, too', async (t) => {
  const [down, up] = [await TokenService.start(t), await TokenService.start(t)]
  down.stop()
  const service = await identityFor(t, [issuerOf(down, 'down'), issuerOf(up, 'up')])
  const answers: unknown[] = []
  for (let index = 0; index < 40; index++) answers.push(await shown(service, guess(index), { from: '192.0.2.1' }))
  t.equal(answers.filter((answer) => answer === 'unavailable introspection').length, 30, 'it may be of the other')
  t.equal(answers.filter((answer) => answer === 'busy attempts').length, 10)
  t.equal(up.shown.length, 30)
})

t.test('whoever has an IPv6 address has one count for all of his network', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main')])
  for (let index = 0; index < 40; index++) await shown(service, guess(index), { from: `2001:db8::${index}` })
  t.equal(issuer.shown.length, 30)
  t.equal(await shown(service, guess(50), { from: '2001:db8:0:1::1' }), 'unauthenticated token-inactive')
})

t.test('one bad token again and again is one question', async (t) => {
  const issuer = await TokenService.start(t)
  const clock = makeClock(Date.now())
  const service = await identityFor(t, [issuerOf(issuer, 'main')], { now: clock.now })
  for (let index = 0; index < 100; index++) await shown(service, guess(0), { from: '192.0.2.1' })
  t.equal(issuer.shown.length, 1)
  clock.pass(61)
  await shown(service, guess(0), { from: '192.0.2.1' })
  t.equal(issuer.shown.length, 2, 'it is remembered for a minute at most')
})

t.test('good tokens from one address are no guesses, however many there are at once', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main')])
  const tokens = Array.from({ length: 64 }, () => issuer.opaque(alice))
  const answers = await Promise.all(tokens.map((token) => shown(service, token, { from: '192.0.2.1' })))
  t.ok(answers.every((answer) => typeof answer === 'object'))
  t.ok(issuer.mostWaiting <= 16, `its issuer has ${issuer.mostWaiting} questions at once`)
})

t.test('a crowd of addresses reaches the issuer a few at a time, and one address cannot take all places', async (t) => {
  const issuer = await TokenService.start(t)
  const { promise, resolve } = Promise.withResolvers<void>()
  issuer.held = promise
  const service = await identityFor(t, [issuerOf(issuer, 'main')])
  const guesses = Array.from({ length: 200 }, (_, index) => shown(service, guess(index), { from: '192.0.2.1' }))
  const crowd = Array.from({ length: 200 }, (_, index) =>
    shown(service, guess(1000 + index), { from: `198.51.${index}.1` }),
  )
  const busy = (await Promise.all(guesses.slice(64))).filter((answer) => answer === 'busy attempts').length
  t.equal(busy, 136, 'all beyond its share at once')
  resolve()
  await Promise.all([...guesses, ...crowd])
  t.ok(issuer.mostWaiting <= 16, `${issuer.mostWaiting} at once`)
  t.equal(issuer.shown.length, 264)
})
