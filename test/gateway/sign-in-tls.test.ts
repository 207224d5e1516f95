/** Signing in over TLS, at issuers with authorities of their own. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startOidcIssuer } from '../peers/oidc-issuer.ts'
import { Browser } from './browser.ts'
import { audience, startTestGateway } from './harness.ts'
import { named, password } from './people.ts'
import { makeLab } from './tree.ts'

t.setTimeout(120_000)

/** A certificate for 127.0.0.1 that is its own authority. */
function certify(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-tls-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  return { key: readFileSync(key, 'utf8').trim(), cert: readFileSync(cert, 'utf8').trim() }
}

const [own, theirs] = [certify(t), certify(t)]
const issuer = await startOidcIssuer(t, theirs)
issuer.people.set('alice', { preferred_username: 'alice', groups: ['staff'] })
const trusted = (name: string, url: string, ca?: string) => ({
  ...{ issuer: url, name, keys: { discovery: true }, audiences: [audience], profile: 'plain' },
  ...(ca !== undefined && { ca }),
})
const loginAt = (name: string) => ({ issuer: name, clientId: issuer.client.id, clientSecret: { file: 'main.secret' } })
// The same server by another name, so that each is an issuer.
const another = (path: string) => `${issuer.url}/${path}`
const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
  passwords: true,
  secrets: {
    ...{ 'main.secret': issuer.client.secret, 'gateway.key': own.key },
    ...{ 'gateway.crt': own.cert, 'issuer.crt': theirs.cert },
  },
  more: {
    listen: [{ address: '127.0.0.1', port: 0, tls: { certificate: 'gateway.crt', key: 'gateway.key' } }],
    issuers: [
      trusted('main', issuer.url, 'issuer.crt'),
      trusted('wrong', another('wrong'), 'gateway.crt'),
      trusted('none', another('none')),
      trusted('right', another('right'), 'issuer.crt'),
    ],
    mapping: [{ issuer: 'main', claim: 'preferred_username', account: '{value}' }],
    login: { issuers: ['main', 'wrong', 'none', 'right'].map(loginAt) },
  },
})
issuer.redirectUris.add(`${gateway.url}/.portolan/login/callback/main`)
const whoami = '/.portolan/api/v1/whoami'
const newBrowser = () => new Browser(() => gateway.port, own.cert)

t.test('cookies are of this host alone, for TLS alone, and by no other name', async (t) => {
  t.match(gateway.url, /^https:/)
  const browser = newBrowser()
  const left = await browser.visit('/.portolan/login?issuer=main&to=/lab/alice/')
  t.equal(left.status, 303, left.text)
  t.match(browser.told[0], /^__Host-portolan-login=[\w-]+; Path=\/; Max-Age=900; HttpOnly; SameSite=Lax; Secure$/)
  const back = await issuer.consent(left.headers.location ?? '', 'alice')
  t.match(back.href, `${gateway.url}/.portolan/login/callback/main?`)
  const { status, headers } = await browser.visit(`${back.pathname}${back.search}`, { site: 'cross-site' })
  t.equal(status, 303)
  t.equal(headers.location, '/lab/alice/')
  t.match(browser.told[0], /^__Host-portolan-session=[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax; Secure$/)
  t.match(browser.told[1], /^__Host-portolan-login=; Path=\/; Max-Age=0; HttpOnly; SameSite=Lax; Secure$/)
  t.equal((await browser.visit(whoami)).json().user, named('alice'))
  const secret = browser.cookies.get('__Host-portolan-session') ?? ''
  for (const name of ['portolan-session', '__Secure-portolan-session', '__host-portolan-session']) {
    const answer = await newBrowser().visit(whoami, { headers: { Cookie: `${name}=${secret}` } })
    t.equal(answer.json().user, null, `${name}: what a neighbour could set`)
  }
  const csrf = await browser.token('/.portolan/logout')
  const out = { form: { csrf }, headers: { Origin: gateway.url }, site: 'unsaid' } as const
  t.equal((await browser.visit('/.portolan/logout', { ...out, headers: { Origin: 'null' } })).status, 403)
  const foreign = { Origin: gateway.url.replace('https:', 'http:') }
  t.equal(
    (await browser.visit('/.portolan/logout', { ...out, headers: foreign })).status,
    403,
    'the same host in clear',
  )
  t.equal((await browser.visit('/.portolan/logout', out)).status, 303)
  t.match(browser.told[0], /^__Host-portolan-session=; Path=\/; Max-Age=0; HttpOnly; SameSite=Lax; Secure$/)
})

t.test('a password makes the same cookie', async (t) => {
  const browser = newBrowser()
  t.equal((await browser.signInByPassword('alice', password, '/lab/alice/')).status, 303)
  t.match(browser.told[0], /^__Host-portolan-session=[\w-]{43}; .*Secure$/)
  t.equal((await browser.visit('/lab/alice/note.txt')).text, 'hello')
})

t.test('an issuer is spoken to with its own authorities and no others', async (t) => {
  // There is nothing at these three, which only the last of them can be told.
  for (const [name, status] of [
    ['wrong', 503],
    ['none', 503],
    ['right', 401],
  ] as const) {
    const browser = newBrowser()
    t.equal((await browser.visit(`/.portolan/login?issuer=${name}`)).status, status, name)
    t.notOk(browser.cookies.has('__Host-portolan-login'))
  }
})
