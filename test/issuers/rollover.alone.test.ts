/** Keys are changed while tokens come in: nobody is refused whose key the issuer shows. */

import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { makeKey } from '../identity/issuer.ts'
import { alice, identityFor, issuerOf, shown } from './asking.ts'
import { TokenService } from './token-service.ts'

/** New tokens a second, and seconds. */
const rate = 200
const seconds = 8

t.test('a new key is used as soon as it is shown, under load, and an old one goes when it is withdrawn', async (t) => {
  const issuer = await TokenService.start(t)
  let ahead = 0
  const now = () => Date.now() + ahead
  const service = await identityFor(t, [issuerOf(issuer, 'main')], { now })
  const [one, two] = [issuer.keys[0] ?? makeKey('one'), makeKey('two')]
  const refused: unknown[] = []
  let accepted = 0
  const running: Promise<void>[] = []
  const call = async () => {
    const at = Math.floor(now() / 1000)
    const signer = issuer.keys.length === 2 ? (Math.random() < 0.5 ? one : two) : one
    const answer = await shown(service, issuer.signed({ ...alice, iat: at, exp: at + 600 }, signer))
    if (typeof answer === 'object') accepted++
    else refused.push(answer)
  }
  const started = performance.now()
  for (let sent = 0; sent < rate * seconds; sent++) {
    // Both are shown from the second quarter on.
    if (sent === (rate * seconds) / 4) issuer.keys = [one, two]
    running.push(call())
    const due = started + ((sent + 1) * 1000) / rate
    if (due > performance.now()) await pause(due - performance.now())
  }
  await Promise.all(running)
  t.same(refused, [], `nobody of ${rate * seconds} was refused`)
  t.equal(accepted, rate * seconds)
  t.ok(issuer.times('/jwks') <= 2, `its keys were fetched ${issuer.times('/jwks')} times`)

  issuer.keys = [two]
  const at = Math.floor(now() / 1000)
  t.match(await shown(service, issuer.signed({ ...alice, iat: at, exp: at + 600 }, one)), { user: 'alice@desy.de' })
  ahead = 6 * 3_600_000 + 60_000
  const later = Math.floor(now() / 1000)
  const old = issuer.signed({ ...alice, iat: later, exp: later + 600 }, one)
  t.equal(await shown(service, old), 'unauthenticated token-key', 'withdrawn six hours ago')
  const fresh = issuer.signed({ ...alice, iat: later, exp: later + 600 }, two)
  t.match(await shown(service, fresh), { user: 'alice@desy.de' })
})

t.test('a flood of keys that are none is one fetch a minute', async (t) => {
  const issuer = await TokenService.start(t)
  const service = await identityFor(t, [issuerOf(issuer, 'main')])
  t.match(await shown(service, issuer.signed(alice)), { user: 'alice@desy.de' })
  const strange = Array.from({ length: 20 }, (_, index) => makeKey(`strange-${index}`))
  const answers = await Promise.all(
    Array.from({ length: 400 }, (_, index) => shown(service, issuer.signed(alice, strange[index % 20]))),
  )
  t.ok(answers.every((answer) => answer === 'unauthenticated token-key'))
  t.ok(issuer.times('/jwks') <= 2, `${issuer.times('/jwks')} fetches`)
  t.match(await shown(service, issuer.signed(alice)), { user: 'alice@desy.de' })
})
