/** What each kind of credential can be turned into: macaroons, temporary keys of S3, access keys; and what ends with it. */

import { createHash, X509Certificate } from 'node:crypto'
import t from 'tap'
import { audience, issuerUrl, startTestGateway } from '../gateway/harness.ts'
import { named, password } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'
import { CertificateAuthority, forLoopback } from '../peers/certificate-authority.ts'
import { sign } from '../s3-door/signing.ts'
import { ask } from './certified.ts'
import { TokenService } from './token-service.ts'

t.setTimeout(120_000)
const [grid, own] = [new CertificateAuthority(t), new CertificateAuthority(t, '/CN=Own')]
const server = own.certify('/CN=127.0.0.1', { extensions: forLoopback })
const alice = grid.certify('/C=DE/O=Grid/CN=Alice')
const issuer = await TokenService.start(t)
const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
  passwords: true,
  s3: { buckets: { lab: '/lab' }, hosts: ['s3.lab.example'] },
  secrets: {
    ...{ 'server.key': server.key, 'server.crt': server.cert, 'grid.pem': grid.cert },
    'opaque.secret': issuer.client.secret,
  },
  more: {
    listen: [
      { address: '127.0.0.1', port: 0 },
      {
        ...{ address: '127.0.0.1', port: 0 },
        tls: { certificate: 'server.crt', key: 'server.key', clientCertificates: { ca: 'grid.pem' } },
      },
    ],
    issuers: [
      {
        ...{
          issuer: issuerUrl,
          name: 'lab-issuer',
          audiences: [audience],
          profile: 'wlcg',
          basePath: '/',
          account: 'alice',
        },
        keys: { jwksFile: 'issuer/jwks.json' },
      },
      {
        ...{ issuer: issuer.url, name: 'opaque', audiences: [audience], profile: 'plain', insecure: true },
        keys: { discovery: true },
        introspection: { clientId: issuer.client.id, clientSecret: 'opaque.secret', remember: '2s' },
      },
    ],
    mapping: [
      { issuer: 'lab-issuer', subject: 'alice', account: 'alice' },
      { issuer: 'opaque', claim: 'uid', account: '{value}' },
      { certificate: 'CN=Alice,O=Grid,C=DE', account: 'alice' },
    ],
  },
})
const note = '/lab/alice/note.txt'
const claims = { sub: 'a-1', aud: audience, uid: 'alice' }

interface Way {
  readonly name: string
  readonly headers: Readonly<Record<string, string>>
  readonly isCertified?: boolean
  /** What it may be exchanged for at the token service. */
  readonly token?: string
}

const capability = await gateway.token('alice', { sub: 'robot', scope: 'storage.read:/lab/alice' })
const group = await gateway.token('alice')
const opaque = issuer.opaque(claims)
const signed = issuer.signed(claims)
const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` }, token })
const ways: readonly Way[] = [
  { name: 'a WLCG capability', ...bearer(capability) },
  { name: 'a WLCG token with groups', ...bearer(group) },
  { name: 'an OIDC token', ...bearer(signed) },
  { name: 'an opaque token', ...bearer(opaque) },
  { name: 'a password', headers: { Authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}` } },
  { name: 'a certificate', headers: {}, isCertified: true },
]
const role = { Version: '2011-06-15', RoleArn: 'arn:aws:iam::000000000000:role/gw', RoleSessionName: 'me' }

const tls = () => gateway.addresses.find(({ tls: isTls }) => isTls)?.port ?? 0
const send = ({ headers, isCertified }: Way, method: string, path: string, more: object = {}, body = '') =>
  ask({
    ...{ port: tls(), ca: own.cert, method, path, body, headers: { ...headers, ...more } },
    ...(isCertified && { by: alice }),
  })

async function assume(token: string) {
  const body = new URLSearchParams({ ...role, Action: 'AssumeRoleWithWebIdentity', WebIdentityToken: token })
  const headers = { 'content-type': 'application/x-www-form-urlencoded', host: `127.0.0.1:${gateway.s3Port}` }
  const answer = await ask({ port: gateway.s3Port, method: 'POST', path: '/', headers, body: body.toString() })
  return { answer, key: keyIn(answer.text) }
}

/** With what is in the Authorization header, or in TLS, in the place of a token in the form. */
async function assumeAs(way: Way) {
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded', Host: 's3.lab.example' }
  const form = new URLSearchParams({ ...role, Action: 'AssumeRole' }).toString()
  const answer = await send(way, 'POST', '/', headers, form)
  return { answer, key: keyIn(answer.text) }
}

function keyIn(text: string) {
  const read = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1] ?? ''
  return { accessKeyId: read('AccessKeyId'), secret: read('SecretAccessKey'), sessionToken: read('SessionToken') }
}

async function readWith(key: {
  readonly accessKeyId: string
  readonly secret: string
  readonly sessionToken?: string
}) {
  const plain = { host: `127.0.0.1:${gateway.s3Port}` }
  const { headers } = sign({ method: 'GET', target: '/lab/alice/note.txt', headers: plain, body: undefined, key })
  return ask({ port: gateway.s3Port, path: '/lab/alice/note.txt', headers })
}

for (const way of ways) {
  t.test(`${way.name} opens a file, and so do a macaroon and keys that are made with it`, async (t) => {
    t.equal((await send(way, 'GET', note)).text, 'hello')
    t.equal((await send(way, 'GET', '/.portolan/api/v1/whoami')).json().user, named('alice'))
    const order = { caveats: ['activity:DOWNLOAD'], validity: 'PT5M' }
    const type = { 'Content-Type': 'application/macaroon-request' }
    const made = await send(way, 'POST', note, type, JSON.stringify(order))
    t.equal(made.status, 200, made.text)
    const macaroon = made.json().macaroon
    t.equal((await gateway.request({ path: note, token: macaroon })).text, 'hello')
    t.equal((await gateway.request({ method: 'DELETE', path: note, token: macaroon })).status, 403)
    if (way.token !== undefined) {
      const { answer, key } = await assume(way.token)
      t.equal(answer.status, 200, answer.text)
      t.equal((await readWith(key)).text, 'hello')
    }
    const assumed = await assumeAs(way)
    t.equal(assumed.answer.status, 200, assumed.answer.text)
    t.equal((await readWith(assumed.key)).text, 'hello')
    const json = { 'Content-Type': 'application/json' }
    const created = await send(way, 'POST', '/.portolan/api/v1/s3-keys', json, JSON.stringify({ name: way.name }))
    t.equal(created.status, 201, created.text)
    const { id: accessKeyId, secret } = created.json()
    t.equal((await readWith({ accessKeyId, secret })).text, 'hello')
  })
}

t.test('the name of a certificate that was let in is no token', async (t) => {
  const thumbprint = createHash('sha256').update(new X509Certificate(alice.cert).raw).digest('base64url')
  const way = { name: '', headers: {}, isCertified: true }
  t.equal((await send(way, 'GET', note)).text, 'hello')
  for (const name of [`certificate ${thumbprint}`, thumbprint]) t.not((await assume(name)).answer.status, 200, name)
})

t.test('a damaged macaroon is shown to nobody', async (t) => {
  const made = await gateway.request({
    ...{ method: 'POST', path: note, user: 'alice', headers: { 'Content-Type': 'application/macaroon-request' } },
    body: JSON.stringify({ caveats: ['activity:DOWNLOAD'], validity: 'PT5M' }),
  })
  const { macaroon } = made.json()
  const before = issuer.shown.length
  for (const damaged of [
    `${macaroon}.`,
    `${macaroon}~`,
    macaroon.slice(0, -3),
    `${macaroon}=x`,
    macaroon.slice(0, 40),
  ]) {
    t.not((await gateway.request({ path: note, token: damaged })).status, 200)
  }
  t.equal(issuer.shown.length, before)
  t.equal((await gateway.request({ path: note, token: macaroon })).text, 'hello')
})

t.test('a token that its issuer ends is refused within the time that it is believed', async (t) => {
  const way = { name: '', ...bearer(issuer.opaque(claims)) }
  t.equal((await send(way, 'GET', note)).status, 200)
  issuer.tokens.delete(way.token)
  const started = Date.now()
  while ((await send(way, 'GET', note)).status === 200) {
    if (Date.now() - started > 10_000) break
  }
  t.ok(Date.now() - started < 5000, `it was let in for ${Date.now() - started} ms`)
})

t.test('nothing of what was shown is written down', async (t) => {
  await send({ name: '', ...bearer(`${'x'.repeat(30)}`) }, 'GET', note)
  for (const text of [gateway.logText(), gateway.auditText()]) {
    for (const secret of [opaque, signed, issuer.client.secret, 'x'.repeat(30)]) t.notOk(text.includes(secret))
  }
  t.ok(gateway.auditText().includes('token-inactive'), 'but why it was refused')
})
