/** Signing in with a real browser: its own cookies, redirects, form rules and headers. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startOidcIssuer } from '../peers/oidc-issuer.ts'
import { Chromium, noChromium } from './chromium.ts'
import { audience, startTestGateway } from './harness.ts'
import { named, password } from './people.ts'
import { makeLab } from './tree.ts'

t.setTimeout(240_000)

t.test('a person signs in at an issuer and with a password, and out again', { skip: noChromium }, async (t) => {
  const issuer = await startOidcIssuer(t)
  issuer.people.set('alice', { preferred_username: 'alice' })
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
    workers: 2,
    passwords: true,
    secrets: { 'main.secret': issuer.client.secret },
    more: {
      issuers: [
        {
          ...{ issuer: issuer.url, name: 'main', keys: { discovery: true }, insecure: true },
          ...{ audiences: [audience], profile: 'plain' },
        },
      ],
      mapping: [{ issuer: 'main', claim: 'preferred_username', account: '{value}' }],
      login: { issuers: [{ issuer: 'main', clientId: issuer.client.id, clientSecret: { file: 'main.secret' } }] },
    },
  })
  issuer.redirectUris.add(`${gateway.url}/.portolan/login/callback/main`)
  const browser = await Chromium.start(t)
  const here = `${gateway.url}/lab/alice/`
  const follow = (text: string) =>
    browser.look(`[...document.links].find((link) => link.textContent.includes('${text}')).click()`)

  await browser.go(here)
  await browser.until(`document.body?.innerText.includes('Sign in') === true`, 'no page leads to signing in')
  await follow('Sign in')
  await browser.until(`location.pathname === '/.portolan/login' && document.forms.length === 1`, 'no sign-in page')
  await follow('main')
  await browser.until(`document.title === 'Provider' && document.forms.length === 1`, 'not at the issuer')
  await browser.submit({ user: 'alice' })
  await browser.until(`location.href === '${here}' && document.readyState === 'complete'`, 'not back where it began')
  await browser.until(`document.body.innerText.includes('Signed in as ${named('alice')}')`, 'not signed in')
  t.ok(await browser.look(`document.body.innerText.includes('note.txt')`))
  const [cookie, ...others] = await browser.cookies(gateway.url)
  t.match(cookie, { name: 'portolan-session', httpOnly: true, sameSite: 'Lax', path: '/' })
  t.same(others, [])
  t.equal(await browser.look('document.cookie'), '')

  const Authorization = `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`
  // A page of somebody else's posts a form to us: the browser says so itself.
  const csrf = 'document.querySelector(\'[name="csrf"]\').value'
  await browser.go(`${gateway.url}/.portolan/account`)
  await browser.until(`document.querySelector('[name="csrf"]') !== null`, 'no account page')
  const token = String(await browser.look(csrf))
  const evil = createServer((_request, response) => {
    const action = `${gateway.url}/.portolan/account`
    const fields = Object.entries({ csrf: token, name: 'stolen', path: '/', days: '1' })
    const inputs = fields.map(([name, value]) => `<input name="${name}" value="${value}">`)
    response.setHeader('content-type', 'text/html')
    response.end(`<form method="post" action="${action}">${inputs.join('')}<button>Win</button></form>`)
  })
  evil.listen(0, 'localhost')
  await once(evil, 'listening')
  t.teardown(() => void evil.close())
  await browser.go(`http://localhost:${(evil.address() as AddressInfo).port}/`)
  await browser.submit({ name: 'stolen' })
  await browser.until(
    `document.body?.innerText.includes('You may not do this') === true`,
    'the foreign form was not refused',
  )
  const list = await gateway.request({ path: '/.portolan/api/v1/app-passwords', headers: { Authorization } })
  t.same(list.json().appPasswords, [], 'nothing was made')

  await browser.go(`${gateway.url}/.portolan/account`)
  await browser.submit({ name: 'laptop', path: '/lab', days: '7' })
  await browser.until(`/pw-[\\w-]{49}/.test(document.body?.innerText ?? '')`, 'no application password')
  await browser.go(`${gateway.url}/.portolan/logout`)
  await browser.until(`document.forms.length === 1`, 'no page to sign out')
  await browser.look('document.forms[0].querySelector("button").click()')
  await browser.until(`location.pathname === '/'`, 'not signed out')
  t.same(await browser.cookies(gateway.url), [])

  await browser.go(`${gateway.url}/.portolan/login?to=/lab/alice/`)
  await browser.submit({ user: 'alice', password: 'wrong' })
  await browser.until(`document.body?.innerText.includes('is wrong') === true`, 'a wrong password is not told')
  await browser.submit({ user: 'alice', password })
  await browser.until(`location.href === '${here}'`, 'the password did not sign in')
  await browser.until(`document.body?.innerText.includes('Signed in as') === true`, 'not signed in by password')
})
