/** Linking an identity with a real browser: its own cookies, redirects, form rules and policies. */

import t from 'tap'
import { startOidcIssuer } from '../peers/oidc-issuer.ts'
import { Chromium, noChromium } from './chromium.ts'
import { audience, startTestGateway } from './harness.ts'
import { named, password } from './people.ts'
import { makeLab } from './tree.ts'

t.setTimeout(240_000)

t.test('a person links an identity, comes back by it, and unlinks it', { skip: noChromium }, async (t) => {
  const issuer = await startOidcIssuer(t)
  issuer.people.set('alice-elsewhere', {})
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
    workers: 2,
    passwords: true,
    secrets: { 'home.secret': issuer.client.secret },
    more: {
      issuers: [
        {
          ...{ issuer: issuer.url, name: 'home', keys: { discovery: true }, insecure: true },
          ...{ audiences: [audience], profile: 'plain' },
        },
      ],
      mapping: [],
      login: {
        issuers: [{ issuer: 'home', label: 'Home', clientId: issuer.client.id, clientSecret: { file: 'home.secret' } }],
      },
      links: { issuers: ['home'] },
    },
  })
  issuer.redirectUris.add(`${gateway.url}/.portolan/login/callback/home`)
  const browser = await Chromium.start(t)
  const page = `${gateway.url}/.portolan/account`
  const shows = (text: string) => `document.body?.innerText.includes(${JSON.stringify(text)}) === true`
  const follow = (text: string) =>
    browser.look(`[...document.links].find((link) => link.textContent.includes('${text}')).click()`)
  const press = (text: string) =>
    browser.look(`[...document.querySelectorAll('button')].find((each) => each.textContent === '${text}').click()`)

  await browser.go(`${gateway.url}/.portolan/login?to=%2F.portolan%2Faccount`)
  await browser.until('document.forms.length === 1', 'no sign-in page')
  await browser.submit({ user: 'alice', password })
  await browser.until(`location.href === '${page}' && ${shows('Linked identities')}`, 'no account page')
  await follow('Link an identity of Home')
  await browser.until(`document.title === 'Provider' && document.forms.length === 1`, 'not at the issuer')
  await browser.submit({ user: 'alice-elsewhere' })
  await browser.until(`location.href === '${page}/link' && ${shows('alice-elsewhere')}`, 'not asked')
  t.ok(await browser.look(shows(named('alice'))), 'both are named')
  t.equal(await browser.look(`document.querySelector('[name="note"]').labels.length`), 1)
  await press('Link')
  await browser.until(`location.href === '${page}' && ${shows('alice-elsewhere')}`, 'not linked')
  const names = (await browser.cookies(gateway.url)).map(({ name }) => name)
  t.same(names, ['portolan-session'], 'nothing of the way is left')

  await browser.go(`${gateway.url}/.portolan/logout`)
  await browser.until(shows('You are signed in as'), 'no page to sign out')
  await press('Sign out')
  await browser.until(`location.pathname === '/'`, 'not signed out')
  await browser.go(`${gateway.url}/.portolan/login?issuer=home&to=%2Flab%2Falice%2F`)
  await browser.until(`document.title === 'Provider' && document.forms.length === 1`, 'not at the issuer again')
  await browser.submit({ user: 'alice-elsewhere' })
  await browser.until(shows(`Signed in as ${named('alice')}`), 'not alice by the link')
  t.ok(await browser.look(shows('note.txt')))

  await browser.go(page)
  await browser.until(shows('Unlink'), 'no button')
  t.notOk(await browser.look(shows('Link an identity')), 'who came by a link adds none')
  await press('Unlink')
  await browser.until(`location.pathname === '/' && !${shows('Signed in as')}`, 'the session goes on')
})
