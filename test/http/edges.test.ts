import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { parseProxyHeader } from '../../gateway/http/proxy-protocol.ts'
import { createHttpDoor } from '../../gateway/http/server.ts'
import { webdav } from '../../gateway/webdav/methods.ts'
import { ask, identity, logInto, openDoor, rawConnection, type Setting, store } from './door.ts'

const whoami = '/.portolan/api/v1/whoami'

/** The addresses that the audit log saw. */
function callers({ audit }: Setting): string[] {
  return audit.records.map(({ from }) => from)
}

t.test('X-Forwarded-For counts from trusted proxies alone, read from its end', async (t) => {
  const cases: ReadonlyArray<readonly [readonly string[], string, string]> = [
    [[], '203.0.113.9', '127.0.0.1'],
    [['10.0.0.0/8'], '203.0.113.9', '127.0.0.1'],
    [['127.0.0.1'], '203.0.113.9', '203.0.113.9'],
    [['127.0.0.1'], '198.51.100.1, 203.0.113.9', '203.0.113.9'],
    [['127.0.0.0/8', '10.0.0.0/8'], '198.51.100.1, 203.0.113.9, 10.1.2.3', '203.0.113.9'],
    [['127.0.0.1'], '203.0.113.9:4711', '203.0.113.9'],
    [['127.0.0.1'], '[2001:db8::9]:4711', '2001:db8::9'],
    [['127.0.0.1'], '::ffff:203.0.113.9', '203.0.113.9'],
    [['127.0.0.1'], 'unknown', '127.0.0.1'],
    [['127.0.0.1'], '203.0.113.9, <script>', '127.0.0.1'],
    [['127.0.0.1'], '', '127.0.0.1'],
  ]
  for (const [trustedProxies, header, expected] of cases) {
    const setting = await openDoor(t, { trustedProxies })
    await ask(setting.port, 'GET', '/data/', { headers: { 'x-forwarded-for': header } })
    t.same(callers(setting), [expected], `${trustedProxies} ${header}`)
  }
})

t.test('a credential that came to the proxy in the clear is not accepted', async (t) => {
  const { port } = await openDoor(t, { trustedProxies: ['127.0.0.1'] })
  const get = (proto: string) => ask(port, 'GET', whoami, { as: 'alice', headers: { 'x-forwarded-proto': proto } })
  t.equal((await get('https')).status, 200)
  t.equal((await get('http')).status, 403)
  t.equal((await get('https, http')).status, 403)
  const listen = [{ address: '127.0.0.1', port: 0, insecure: true }]
  const { port: plain } = await openDoor(t, { trustedProxies: ['127.0.0.1'], basic: true, listen })
  const over = (proto: string, as?: string) =>
    ask(plain, 'GET', '/data/', { ...(as && { as }), headers: { 'x-forwarded-proto': proto } })
  t.equal((await over('https', 'alice')).status, 200, 'insecure speaks of the way from the proxy to us')
  t.equal((await over('http', 'alice')).status, 403, 'and not of the way to the proxy')
  t.match((await over('https', 'expired')).headers['www-authenticate'], /Basic/)
  const asked = await ask(plain, 'PUT', '/data/x', { headers: { 'x-forwarded-proto': 'http' } })
  t.equal(asked.status, 401)
  t.equal(asked.headers['www-authenticate'], 'Bearer realm="portolan"', 'no password is asked for there')
  const { port: direct } = await openDoor(t)
  const spoofed = await ask(direct, 'GET', whoami, { as: 'alice', headers: { 'x-forwarded-proto': 'http' } })
  t.equal(spoofed.status, 200, 'from anybody else the header says nothing')
})

const v2 = (command: number, family: number, block: Uint8Array) => {
  const head = Buffer.from('0d0a0d0a000d0a515549540a0000ffff', 'hex')
  head.writeUInt8(0x20 | command, 12)
  head.writeUInt8(family, 13)
  head.writeUInt16BE(block.length, 14)
  return Buffer.concat([head, block])
}
const tcp4 = Buffer.from('cb00710901020304303901bb', 'hex')
const tcp6 = Buffer.from(
  '20010db8000000000000000000000009 20010db8000000000000000000000001 3039 01bb'.replaceAll(' ', ''),
  'hex',
)

t.test('PROXY headers are read to their end and not beyond', async (t) => {
  const cases: ReadonlyArray<readonly [string, Uint8Array, unknown]> = [
    ['v1', Buffer.from('PROXY TCP4 203.0.113.9 1.2.3.4 12345 443\r\nGET'), { address: '203.0.113.9', tls: undefined }],
    ['v1, IPv6', Buffer.from('PROXY TCP6 2001:db8::9 ::1 12345 443\r\n'), { address: '2001:db8::9', tls: undefined }],
    ['v1, unknown', Buffer.from('PROXY UNKNOWN whatever\r\n'), { address: undefined, tls: undefined }],
    ['v1, unfinished', Buffer.from('PROXY TCP4 203.0.113.9'), 'incomplete'],
    ['v1, one byte', Buffer.from('P'), 'incomplete'],
    ['v1, endless', Buffer.from(`PROXY ${'x'.repeat(200)}`), 'malformed'],
    ['v1, no address', Buffer.from('PROXY TCP4 nobody 1.2.3.4 1 2\r\n'), 'malformed'],
    ['v1, wrong family', Buffer.from('PROXY TCP4 ::1 ::1 1 2\r\n'), 'malformed'],
    ['v1, more', Buffer.from('PROXY TCP4 1.1.1.1 1.2.3.4 1 2 3\r\n'), 'malformed'],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), 'malformed'],
    ['v2', v2(1, 0x11, tcp4), { address: '203.0.113.9', tls: undefined }],
    ['v2, IPv6', v2(1, 0x21, tcp6), { address: '2001:db8::9', tls: undefined }],
    ['v2, local', v2(0, 0, Buffer.alloc(0)), { address: undefined, tls: undefined }],
    [
      'v2, TLS',
      v2(1, 0x11, Buffer.concat([tcp4, Buffer.from('2000050100000000', 'hex')])),
      { address: '203.0.113.9', tls: true },
    ],
    [
      'v2, no TLS',
      v2(1, 0x11, Buffer.concat([tcp4, Buffer.from('040001002000050000000000', 'hex')])),
      { address: '203.0.113.9', tls: false },
    ],
    ['v2, short', v2(1, 0x11, tcp4).subarray(0, 20), 'incomplete'],
    ['v2, too short for its family', v2(1, 0x11, Buffer.alloc(4)), 'malformed'],
    ['v2, wrong version', Buffer.concat([v2(1, 0x11, tcp4).fill(0x31, 12, 13)]), 'malformed'],
    ['v2, too long', v2(1, 0x11, Buffer.alloc(4000)), 'malformed'],
  ]
  for (const [name, bytes, expected] of cases) {
    const parsed = parseProxyHeader(Buffer.from(bytes))
    t.strictSame(typeof parsed === 'string' ? parsed : parsed.peer, expected, name)
  }
})

t.test('behind the PROXY protocol the caller is who the proxy says', async (t) => {
  const listen = [{ address: '127.0.0.1', port: 0, proxyProtocol: true }]
  const setting = await openDoor(t, { listen, trustedProxies: ['127.0.0.1'] })
  const get = 'GET /data/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  const whole = rawConnection(t, setting.port)
  whole.send(`PROXY TCP4 203.0.113.1 127.0.0.1 1 2\r\n${get}`)
  t.match(await whole.end(), /^HTTP\/1\.1 200 OK/)
  const pieces = rawConnection(t, setting.port)
  for (const piece of ['PROXY TCP4 203.0.', '113.2 127.0.0.1 1 2\r', `\n${get.slice(0, 10)}`, get.slice(10)]) {
    pieces.send(piece)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.match(await pieces.end(), /^HTTP\/1\.1 200 OK/)
  const binary = rawConnection(t, setting.port)
  binary.send(Buffer.concat([v2(1, 0x11, tcp4), Buffer.from(get)]))
  t.match(await binary.end(), /^HTTP\/1\.1 200 OK/)
  t.same(callers(setting), ['203.0.113.1', '203.0.113.2', '203.0.113.9'])
  const without = rawConnection(t, setting.port)
  without.send(get)
  t.equal(await without.end(), '')
})

t.test('a PROXY header from anybody else ends the connection', async (t) => {
  const listen = [{ address: '127.0.0.1', port: 0, proxyProtocol: true }]
  const { port } = await openDoor(t, { listen, trustedProxies: ['10.0.0.0/8'] })
  const raw = rawConnection(t, port)
  raw.send('PROXY TCP4 203.0.113.1 127.0.0.1 1 2\r\nGET /data/ HTTP/1.1\r\nHost: localhost\r\n\r\n')
  t.equal(await raw.end(), '')
})

async function makeCertificate(t: Test, name: string) {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-tls-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const files = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  issue(files, name)
  return files
}

function issue(files: { readonly certificate: string; readonly key: string }, name: string): void {
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  execFileSync('openssl', [...args, '-subj', `/CN=${name}`, '-keyout', files.key, '-out', files.certificate], {
    stdio: 'ignore',
  })
}

/** The answer to a listing, and the name in the certificate. */
async function askTls(options: ConnectionOptions): Promise<{ readonly text: string; readonly name: string }> {
  const socket = connectTls({ rejectUnauthorized: false, ...options })
  socket.write('GET /data/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\nConnection: close\r\n\r\n')
  await once(socket, 'secureConnect')
  const name = String(socket.getPeerCertificate().subject.CN)
  return { text: String(await buffer(socket)), name }
}

t.test('TLS is served, behind the PROXY protocol too, and takes over new certificates', async (t) => {
  const tls = await makeCertificate(t, 'first')
  const listen = [
    { address: '127.0.0.1', port: 0, tls },
    { address: '127.0.0.1', port: 0, tls, proxyProtocol: true },
  ]
  const setting = await openDoor(t, { listen, trustedProxies: ['127.0.0.1'] })
  const [plain, proxied] = setting.door.addresses
  t.match(plain?.url, /^https:\/\/127\.0\.0\.1:\d+$/)
  const ask = () => askTls({ host: '127.0.0.1', port: plain?.port ?? 0 })
  t.match(await ask(), { name: 'first', text: /^HTTP\/1\.1 200 OK/ })
  const raw: Socket = connect({ host: '127.0.0.1', port: proxied?.port ?? 0 })
  raw.write('PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n')
  t.match((await askTls({ socket: raw })).text, /^HTTP\/1\.1 200 OK/)
  t.same(callers(setting), ['127.0.0.1', '203.0.113.7'])

  issue(tls, 'second')
  await setting.door.reloadTls()
  t.equal((await ask()).name, 'second')
  await writeFile(tls.certificate, 'nonsense')
  await t.rejects(setting.door.reloadTls(), { code: 'invalid' })
  t.equal((await ask()).name, 'second')
})

t.test('who never begins to speak TLS is not waited for', async (t) => {
  const tls = await makeCertificate(t, 'first')
  const limits = { headersTimeout: 200 }
  const { port } = await openDoor(t, { listen: [{ address: '127.0.0.1', port: 0, tls }], limits })
  const silent = connect({ host: '127.0.0.1', port }).resume()
  t.teardown(() => silent.destroy())
  await t.resolves(once(silent, 'close', { signal: AbortSignal.timeout(10_000) }))
})

t.test('plain HTTP off loopback needs to be wanted', async (t) => {
  const { storage } = await openDoor(t)
  const options = { publicUrl: 'http://gw', storage, identity, log: logInto([]), data: webdav, routes: () => {} }
  for (const address of ['0.0.0.0', '::', '192.0.2.1', '128.0.0.1']) {
    await t.rejects(createHttpDoor({ ...options, listen: [{ address, port: 0 }] }), { code: 'invalid' }, address)
  }
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', 'localhost']) {
    const door = await createHttpDoor({ ...options, listen: [{ address, port: 0 }] })
    await door.close({ deadline: 0 })
  }
  const open = await createHttpDoor({ ...options, listen: [{ address: '0.0.0.0', port: 0, insecure: true }] })
  await open.close({ deadline: 0 })
  const files = { certificate: '/nonexistent', key: '/nonexistent' }
  await t.rejects(createHttpDoor({ ...options, listen: [{ address: '::', port: 0, tls: files }] }), { code: 'invalid' })
  await t.rejects(createHttpDoor({ ...options, listen: [], trustedProxies: ['10.0.0.0/33'] }), { code: 'invalid' })
})

t.test('an address that is taken is said to be', async (t) => {
  const { door, storage, port } = await openDoor(t)
  const options = { publicUrl: 'http://gw', storage, identity, log: logInto([]), data: webdav, routes: () => {} }
  const second = await createHttpDoor({ ...options, listen: [{ address: '127.0.0.1', port }] })
  await t.rejects(second.listen(), { code: 'unavailable' })
  t.equal(door.addresses.length, 1)
})

t.test('one principal has so many connections, others are not kept out', async (t) => {
  const { port } = await openDoor(t, { limits: { connectionsPerPrincipal: 3 } })
  const agents = Array.from({ length: 4 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  t.teardown(() => agents.forEach((agent) => void agent.destroy()))
  const get = (agent: Agent | undefined, as: string) => ask(port, 'GET', whoami, { as, agent: agent ?? false })
  for (const agent of agents.slice(0, 3)) t.equal((await get(agent, 'alice')).status, 200)
  const refused = await get(agents[3], 'alice')
  t.equal(refused.status, 503)
  t.equal(refused.headers['retry-after'], '1')
  t.equal(JSON.parse(refused.text).code, 'busy')
  t.equal((await get(agents[3], 'bob')).status, 200)
  t.equal((await get(agents[0], 'alice')).status, 200, 'a connection that counts already goes on')
})

t.test('an orderly end lets a transfer finish and takes nothing new', async (t) => {
  const { door, port, storage } = await openDoor(t)
  const size = 8 * 1024 * 1024
  await store(storage, '/data/big', Buffer.alloc(size))
  const idle = rawConnection(t, port)
  idle.send('GET /data/ HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await idle.until(/entries/)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const transfer = request({ host: '127.0.0.1', port, path: '/data/big' }, async (response) => {
    const closed = door.close({ deadline: 10_000 })
    await idle.end()
    await t.rejects(ask(port, 'GET', '/data/'), { code: 'ECONNREFUSED' })
    const bytes = await buffer(response)
    await closed
    resolve(bytes.length)
  })
  transfer.on('error', reject).end()
  t.equal(await promise, size)
})

t.test('what does not finish in time is cut', async (t) => {
  const { door, port, storage } = await openDoor(t)
  await store(storage, '/data/big', Buffer.alloc(64 * 1024 * 1024))
  const raw = rawConnection(t, port)
  raw.send('GET /data/big HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await raw.until(/200 OK/)
  raw.socket.pause()
  const started = performance.now()
  await door.close({ deadline: 200 })
  t.ok(performance.now() - started < 5000)
})

t.test('a refused credential is in the audit log, without the credential', async (t) => {
  const { port, audit } = await openDoor(t)
  await ask(port, 'GET', '/data/a', { as: 'expired' })
  t.match(audit.records, [
    {
      action: 'authenticate',
      path: '/data/a',
      outcome: 'refused',
      code: 'unauthenticated',
      reason: { rule: 'token-expired' },
    },
  ])
  t.notMatch(JSON.stringify(audit.records), /"expired"/)
})

t.test('failures of ours are logged with their call, secrets are not', async (t) => {
  const { port, lines } = await openDoor(t, {
    around: (storage) => Object.assign(Object.create(storage), { list: () => Promise.reject(new Error('a bug')) }),
  })
  const answer = await ask(port, 'GET', '/data/?signature=s3cr3t')
  t.equal(answer.status, 500)
  t.notMatch(answer.text, /a bug/)
  const { call } = JSON.parse(answer.text)
  t.match(lines, [{ call, status: 500, code: 'internal', target: '/data/?signature=[secret]', text: 'request failed' }])
  t.notMatch(JSON.stringify(lines), /s3cr3t/)
})
