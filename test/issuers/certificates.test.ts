/** Callers with certificates of their own, in TLS and behind a proxy: whom they stand for, and which are none. */

import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { named, password } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { CertificateAuthority, type Certified, forClients, forLoopback } from '../peers/certificate-authority.ts'
import { ask, type Certifying, headerOf } from './certified.ts'

t.setTimeout(120_000)
const [grid, own, stranger] = [
  new CertificateAuthority(t),
  new CertificateAuthority(t, '/CN=Own'),
  new CertificateAuthority(t),
]
const server = own.certify('/CN=127.0.0.1', { extensions: forLoopback })
const alice = grid.certify('/C=DE/O=Grid/CN=Alice')
const bob = grid.certify('/C=DE/O=Grid/OU=Labor/CN=Bob Müller\\+Sons, Ltd')
const carol = grid.certify('/C=DE/O=Grid/CN=Carol')
const proxy = '127.0.0.2'
const files = { certificate: 'server.crt', key: 'server.key' }
const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
  passwords: true,
  secrets: {
    ...{ 'server.key': server.key, 'server.crt': server.cert, 'grid.pem': grid.cert, 'grid.crl': grid.revoked() },
  },
  more: {
    listen: [
      {
        ...{ address: '127.0.0.1', port: 0 },
        tls: { ...files, clientCertificates: { ca: 'grid.pem', crl: 'grid.crl' } },
      },
      { address: '127.0.0.1', port: 0, proxyCertificates: { ca: 'grid.pem' } },
      { address: '127.0.0.1', port: 0, tls: { ...files, clientCertificates: { ca: 'grid.pem', required: true } } },
      { address: '127.0.0.1', port: 0, tls: files },
    ],
    trustedProxies: [proxy],
    mapping: [
      { issuer: 'lab-issuer', subject: 'alice', account: 'alice' },
      { issuer: 'lab-issuer', subject: 'bob', account: 'bob' },
      { issuer: 'lab-issuer', subject: 'admin', account: 'admin' },
      { certificate: '/C=DE/O=Grid/CN=Alice', account: 'alice' },
      { certificate: 'CN=Bob Müller\\+Sons\\, Ltd,OU=Labor,O=Grid,C=DE', account: 'bob' },
      { certificate: 'CN=Carol,O=Grid,C=DE', account: 'carol' },
    ],
  },
})
const [main, behind, strict, plain] = gateway.addresses.map(({ port }) => port)
const whoami = '/.portolan/api/v1/whoami'
const note = '/lab/alice/note.txt'

/** A request to the listener that asks for certificates. */
function send(by: Certified | undefined, sent: Partial<Certifying> = {}) {
  return ask({ port: main ?? 0, ca: own.cert, path: whoami, ...(by && { by }), ...sent })
}

async function ruleOf(by: Certified, sent: Partial<Certifying> = {}) {
  const answer = await send(by, { ...sent, path: `/.portolan/api/v1/explain?path=${note}&action=read` })
  const { steps } = answer.json()
  const { reason } = steps.find(({ allowed }: { allowed: unknown }) => allowed === false) ?? {}
  return `${reason?.rule}: ${reason?.text}`
}

t.test('a certificate is who a mapping rule says', async (t) => {
  const { id, user, grants } = (await send(alice)).json()
  t.same([id, user, grants], ['dn:CN=Alice,O=Grid,C=DE', named('alice'), 'unbounded'])
  const { steps } = (await send(alice, { path: `${whoami}?explain=true` })).json()
  const [credential, mapping] = steps.map(({ step, text }: { step: string; text: string }) => `${step}: ${text}`)
  t.match(
    [credential, mapping],
    [/^credential: a certificate for CN=Alice/, /^mapping: mapping rule 4 .*maps to account alice/],
  )
  t.equal((await send(bob)).json().user, named('bob'), 'in either form of writing, whatever is in it')
  t.equal((await send(alice, { path: note })).text, 'hello')
  t.equal((await send(bob, { path: note })).status, 403, 'and bounded by the ACLs as anybody')
  t.equal((await send(undefined)).json().user, null, 'none is no credential')
  t.equal((await send(alice, { port: plain ?? 0 })).json().user, null, 'where none is asked for, none counts')
  const audit = await gateway.auditOf(await send(alice, { path: note }))
  t.match(audit, { principal: 'dn:CN=Alice,O=Grid,C=DE', user: named('alice'), outcome: 'ok' })
})

t.test('a certificate that is not accepted is a refusal that says why', async (t) => {
  const proxied = ['basicConstraints=critical,CA:FALSE', 'proxyCertInfo=critical,language:id-ppl-anyLanguage']
  const rows: ReadonlyArray<readonly [string, Certified, RegExp]> = [
    [
      'of another authority of that name',
      stranger.certify('/C=DE/O=Grid/CN=Alice'),
      /^certificate: none of the accepted/,
    ],
    [
      'expired',
      grid.certify('/C=DE/O=Grid/CN=Alice', { dates: ['20200101000000Z', '20210101000000Z'] }),
      /^certificate: the certificate has expired/,
    ],
    [
      'not yet valid',
      grid.certify('/C=DE/O=Grid/CN=Alice', { dates: ['20990101000000Z', '20991231000000Z'] }),
      /^certificate: the certificate is not valid yet/,
    ],
    [
      'for servers',
      grid.certify('/C=DE/O=Grid/CN=Alice', { extensions: ['extendedKeyUsage=serverAuth'] }),
      /^certificate: /,
    ],
    ['a proxy', grid.delegate(alice, '/C=DE/O=Grid/CN=Alice/CN=1', proxied), /^certificate: proxy certificates/],
    [
      'an old proxy',
      grid.delegate(alice, '/C=DE/O=Grid/CN=Alice/CN=proxy', forClients),
      /^certificate: proxy certificates/,
    ],
    ['signed by a person', grid.delegate(alice, '/C=DE/O=Grid/CN=Carol', forClients), /^certificate: /],
    [
      'an authority',
      grid.certify('/C=DE/O=Grid/CN=Alice', { extensions: ['basicConstraints=critical,CA:TRUE'] }),
      /^certificate: it is .* authority/,
    ],
  ]
  for (const [what, certificate, reason] of rows) {
    const answer = await send(certificate, { path: note })
    t.equal(answer.status, 401, what)
    t.notMatch(answer.text, /certificate/, `${what}: the reason is not in the answer`)
    t.match(await ruleOf(certificate), reason, what)
  }
  const nobody = grid.certify('/C=DE/O=Grid/CN=Nobody')
  t.equal((await send(nobody, { path: note })).status, 403)
  t.match(await ruleOf(nobody), /^mapping-none/)
})

t.test('what a request says itself goes before the certificate', async (t) => {
  const bearer = { Authorization: `Bearer ${await gateway.token('bob')}` }
  t.equal((await send(alice, { headers: bearer })).json().user, named('bob'))
  const basic = { Authorization: `Basic ${Buffer.from(`bob:${password}`).toString('base64')}` }
  t.equal((await send(alice, { headers: basic })).json().user, named('bob'))
  const expired = grid.certify('/C=DE/O=Grid/CN=Alice', { dates: ['20200101000000Z', '20210101000000Z'] })
  t.equal((await send(expired, { headers: bearer })).json().user, named('bob'), 'also where the certificate is bad')
  t.equal((await send(alice, { headers: { Authorization: 'Bearer rubbish' } })).status, 401, 'and is no way around it')
})

t.test('a token that is bound to a certificate counts with it alone', async (t) => {
  const thumbprint = (certificate: Certified) =>
    createHash('sha256').update(new X509Certificate(certificate.cert).raw).digest('base64url')
  const bound = async (certificate: Certified) =>
    gateway.token('alice', { cnf: { 'x5t#S256': thumbprint(certificate) } })
  const token = { Authorization: `Bearer ${await bound(bob)}` }
  t.equal((await send(bob, { headers: token })).json().user, named('alice'), 'the token says who it is')
  for (const [what, other] of [
    ['another', alice],
    ['none', undefined],
  ] as const) {
    t.equal((await send(other, { path: note, headers: token })).status, 401, what)
    t.match((await send(other, { path: note, headers: token })).headers['www-authenticate'], /invalid_token/)
  }
  t.equal((await send(bob, { headers: token })).json().user, named('alice'), 'and nobody has spoilt it')
  t.equal(
    (await send(bob, { port: plain ?? 0, path: note, headers: token })).status,
    401,
    'nor where none is asked for',
  )
  const selfMade = stranger.certify('/CN=Whoever')
  const self = { Authorization: `Bearer ${await bound(selfMade)}` }
  t.equal(
    (await send(selfMade, { headers: self })).json().user,
    named('alice'),
    'whoever issued it (RFC 8705, section 2.2)',
  )
  for (const cnf of [{ jkt: 'x'.repeat(43) }, { 'x5t#S256': thumbprint(bob), jkt: 'x' }, {}, 'x', null]) {
    const strange = { Authorization: `Bearer ${await gateway.token('alice', { cnf })}` }
    t.equal((await send(bob, { path: note, headers: strange })).status, 401, JSON.stringify(cnf))
  }
})

t.test('a page of another site cannot use the certificate', async (t) => {
  const put = (headers: Certifying['headers']) =>
    send(alice, { method: 'PUT', path: `/lab/alice/new-${Math.random()}`, headers: headers ?? {}, body: 'x' })
  t.equal((await put({})).status, 201, 'a program')
  t.equal((await put({ 'Sec-Fetch-Site': 'same-origin' })).status, 201)
  for (const headers of [
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
    { Origin: 'https://x.example' },
  ]) {
    t.equal((await put(headers)).status, 403, JSON.stringify(headers))
    t.equal((await send(alice, { path: whoami, headers })).json().user, null, 'nor read with it')
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  for (const [site, user] of [
    ['same-origin', named('alice')],
    ['cross-site', null],
    ['same-origin', named('alice')],
  ] as const) {
    const headers = { 'Sec-Fetch-Site': site }
    t.equal((await send(alice, { headers, agent })).json().user, user, `${site}, on one connection`)
  }
  const link = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' }
  t.equal((await send(alice, { path: note, headers: link })).text, 'hello', 'a person may follow a link')
  t.not((await send(alice, { path: note, headers: { ...link, 'Sec-Fetch-Dest': 'iframe' } })).status, 200)
})

t.test('only a trusted proxy is believed about certificates', async (t) => {
  const told = (value: string, from = proxy, headers: Certifying['headers'] = {}) =>
    ask({ port: behind ?? 0, path: whoami, from, headers: { 'Client-Cert': value, ...headers } })
  t.equal((await told(headerOf(alice))).json().user, named('alice'))
  t.equal((await told(encodeURIComponent(alice.cert))).json().user, named('alice'), 'as nginx writes it')
  t.equal((await told(headerOf(alice), '127.0.0.1')).json().user, null, 'from anybody else it is nothing')
  t.equal((await told('')).json().user, null)
  const secure = { 'X-Forwarded-Proto': 'http' }
  t.equal((await told(headerOf(alice), proxy, secure)).status, 403, 'there is no certificate without TLS')
  for (const [what, value] of [
    ['of another authority', headerOf(stranger.certify('/C=DE/O=Grid/CN=Alice'))],
    ['expired', headerOf(grid.certify('/C=DE/O=Grid/CN=Alice', { dates: ['20200101000000Z', '20210101000000Z'] }))],
    ['two', `${headerOf(alice)}, ${headerOf(bob)}`],
    ['rubbish', ':AAAA:'],
    ['no certificate', 'alice'],
    ['a broken encoding', '%'],
  ] as const) {
    t.equal((await told(value)).status, 401, what)
  }
  t.equal(
    (await send(alice, { headers: { 'Client-Cert': headerOf(bob) } })).json().user,
    named('alice'),
    'nor elsewhere',
  )
  const other = { port: main ?? 0, ca: own.cert, from: proxy, path: whoami }
  t.equal((await ask({ ...other, by: alice })).json().user, null, "a proxy's own certificate is not its caller's")
})

t.test('a connection is never taken up again without a look at its certificate', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const connected = async (port: number, session?: Buffer) => {
      const options = {
        host: '127.0.0.1',
        port,
        ca: own.cert,
        ...alice,
        maxVersion,
        ...(session && { session }),
      }
      const socket = connect(options)
      const sessions: Buffer[] = []
      socket.on('session', (each: Buffer) => sessions.push(each))
      await once(socket, 'secureConnect')
      const reused = socket.isSessionReused()
      socket.write('OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n')
      await once(socket.resume(), 'close')
      return { reused, session: sessions.at(-1) }
    }
    for (const [port = 0, reused] of [
      [main, false],
      [plain, true],
    ] as const) {
      const first = await connected(port)
      t.equal((await connected(port, first.session)).reused, reused, `${maxVersion}, ${reused ? 'others may' : ''}`)
    }
  }
})

t.test('nobody shows another certificate on a connection that was let in', async (t) => {
  const socket = connect({ host: '127.0.0.1', port: main ?? 0, ca: own.cert, ...alice, maxVersion: 'TLSv1.2' })
  await once(socket, 'secureConnect')
  const ended = new Promise<string>((resolve) => {
    socket.on('error', () => resolve('refused'))
    socket.renegotiate({ rejectUnauthorized: true }, (error) => resolve(error ? 'refused' : 'renegotiated'))
  })
  t.equal(await ended, 'refused')
  socket.destroy()
})

t.test('where one is required, there is no connection without', async (t) => {
  t.equal((await send(alice, { port: strict ?? 0 })).json().user, named('alice'))
  await t.rejects(send(undefined, { port: strict ?? 0 }))
  await t.rejects(send(stranger.certify('/C=DE/O=Grid/CN=Alice'), { port: strict ?? 0 }))
})

t.test('one that was revoked ends with the next list', async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  t.equal((await send(carol, { agent })).json().user, named('carol'))
  const early = connectPlain({ host: '127.0.0.1', port: main ?? 0 })
  await once(early, 'connect')
  grid.revoke(carol)
  writeFileSync(join(gateway.directory, 'grid.crl'), grid.revoked())
  t.equal((await gateway.reload()).msg, 'the configuration was taken over')
  t.equal((await send(carol, { path: note, agent })).status, 401, 'also on connections that there were before')
  const late = connect({ socket: early, servername: 'localhost', ca: own.cert, ...carol })
  late.on('error', () => {})
  late.write(`GET ${whoami} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)
  let said = ''
  late.on('data', (part) => {
    said += part
  })
  await once(late, 'close')
  t.equal(said, '', 'and on those that had not begun to speak TLS')
  t.equal((await send(carol, { path: note })).status, 401)
  t.match(await ruleOf(carol), /^certificate: the certificate was revoked/)
  t.equal((await send(alice)).json().user, named('alice'))
  const body = JSON.stringify({ name: 'principal:dn:CN=Alice,O=Grid,C=DE', note: 'lost' })
  const headers = { Authorization: `Bearer ${await gateway.token('admin')}`, 'Content-Type': 'application/json' }
  const banned = await send(undefined, { method: 'POST', path: '/.portolan/api/v1/bans', headers, body })
  t.equal(banned.status, 204, banned.text)
  await eventually(
    async () => (await send(alice, { path: note })).status === 403,
    5000,
    'a banned certificate was let in',
  )
  t.match(await ruleOf(alice), /^revoked/)
})
