/** What `portolan check` says of the login section. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { checkLogin } from '../../acl/identity/login-check.ts'
import type { IssuerOptions, LoginIssuerOptions } from '../../acl/identity/options.ts'
import { Secret } from '../../acl/secret.ts'
import { parseConfig } from '../../gateway/config.ts'
import { startOidcIssuer } from '../peers/oidc-issuer.ts'

const redirectUri = 'https://gw.example.org/.portolan/login/callback/main'

t.test('an issuer is asked as if somebody were signing in', async (t) => {
  const peer = await startOidcIssuer(t)
  const issuer: IssuerOptions = {
    ...{ issuer: peer.url, name: 'main', keys: { discovery: true }, insecure: true },
    ...{ audiences: ['x'], profile: 'plain' },
  }
  const login: LoginIssuerOptions = {
    ...{ name: 'main', label: 'Main', clientId: peer.client.id, clientSecret: new Secret(peer.client.secret) },
    ...{ scopes: ['openid'], origins: [], userInfo: true, endsWithToken: false },
  }
  const said = async (change: Partial<LoginIssuerOptions>, other: Partial<IssuerOptions> = {}) => {
    const findings = await checkLogin({ ...login, ...change }, { ...issuer, ...other }, redirectUri)
    return findings.map(({ level, text }) => `${level}: ${text}`)
  }
  t.same(await said({}), [`ok: main: people can sign in; redirect URI: ${redirectUri}`])
  t.match(await said({ clientSecret: new Secret('wrong') }), [/^error: main: it does not accept .*invalid_client/])
  t.match(await said({ scopes: ['openid', 'profile'] }), [/^warning: .*the scope profile/, /^ok/])
  t.match(await said({}, { issuer: `${peer.url}/` }), [/^error: main: its metadata is of another issuer/])
  t.match(await said({}, { issuer: peer.url.replace('http:', 'https:') }), [/^error: main: it cannot be reached/])
  t.match(await said({}, { insecure: false }), [/^error: main: .*OAUTH_HTTP_REQUEST_FORBIDDEN/])
  t.equal(peer.given, 0, 'nobody had to sign in')

  const elsewhere = peer.url.replace('127.0.0.1', '127.0.0.2')
  const foreign = /^error: main: its metadata names an endpoint that is not at an origin of the configuration$/
  const unsafe = /^error: main: its metadata names a place to sign in that is not https$/
  for (const [metadata, problem] of [
    [{ token_endpoint: `${elsewhere}/token` }, foreign],
    [{ token_endpoint: 'file:///etc/passwd' }, foreign],
    [{ userinfo_endpoint: `${elsewhere}/userinfo` }, foreign],
    [{ authorization_endpoint: 'http://login.example.org/authorize' }, unsafe],
    [{ authorization_endpoint: 'javascript:alert(1)' }, unsafe],
    [{ authorization_endpoint: 'https://who:ami@login.example.org/' }, unsafe],
    [{ token_endpoint: undefined }, /^error: main: its metadata lacks an endpoint/],
    [{ scopes_supported: Array.from({ length: 60_000 }, () => 'openid') }, /^error: .* larger than/],
  ] as const) {
    peer.metadata = metadata
    t.match(await said({}), [problem], JSON.stringify(metadata).slice(0, 80))
  }
  peer.metadata = { token_endpoint: `${elsewhere}/token` }
  t.match(await said({ origins: [elsewhere] }), [/^error: main: it cannot be reached/], 'nobody answers there')
  peer.metadata = { authorization_endpoint: 'https://login.example.org/authorize' }
  t.match(await said({}), [/^ok/], 'people are sent anywhere over TLS')
})

t.test('a wrong login section is an error with its line', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-login-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const lines = (publicUrl: string, issuer: string, login: string) =>
    [
      `publicUrl: ${publicUrl}`,
      'domain: example.org',
      'listen: [{ address: 127.0.0.1, port: 0 }]',
      'state: { directory: state }',
      `issuers: [{ issuer: ${issuer}, name: main, keys: { discovery: true }, audiences: [x], profile: plain }]`,
      `login: ${login}`,
      'mounts: [{ path: /data, backend: { type: posix, root: /data, acl: [xattr] } }]',
    ].join('\n')
  const good = '{ issuers: [{ issuer: main, clientId: a }] }'
  const [gw, iam] = ['https://gw.example.org', 'https://iam.example.org']
  const cases: ReadonlyArray<readonly [string, string, string, RegExp | undefined]> = [
    [gw, iam, good, undefined],
    ['http://127.0.0.1:8080', iam, good, undefined],
    ['http://gw.example.org', iam, good, /:1:\d+: publicUrl: must be https/],
    [gw, 'http://iam.example.org', good, /:6:\d+: login.issuers\[0\].issuer: must have an https address/],
    [gw, iam, '{ issuers: [{ issuer: other, clientId: a }] }', /is not the name of an issuer/],
    [gw, iam, '{ issuers: [{ issuer: main }] }', /clientId: is missing/],
    [gw, iam, '{ issuers: [{ issuer: main, clientId: a, scopes: [profile] }] }', /scopes: must hold openid/],
    [gw, iam, '{ issuers: [{ issuer: main, clientId: a, origins: [x] }] }', /origins\[0\]: expected an address/],
    [gw, iam, '{ issuers: [{ issuer: main, clientId: a }, { issuer: main, clientId: b }] }', /is there twice/],
    [gw, iam, '{ idle: 2d }', /login.idle: is longer than/],
    [gw, iam, '{ pasword: true }', /unknown key/],
    [gw, iam, `${good}\nappPasswords: { lifetime: 30d, maxLifetime: 1d }`, /:7:\d+: appPasswords.lifetime: is longer/],
  ]
  for (const [publicUrl, issuer, login, problem] of cases) {
    const read = () => parseConfig(lines(publicUrl, issuer, login), join(directory, 'portolan.yaml'))
    if (problem === undefined) t.equal(read().login.issuers[0]?.issuer, 'main')
    else t.throws(read, { message: problem })
  }
})
