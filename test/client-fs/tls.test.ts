/** A gateway over TLS: whom a mount trusts, and bytes that arrive whole. */

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { connectFs, type FsOptions } from '../../mounts/client/fs/connect.ts'
import { openFs } from '../api-fs/client.ts'
import { CertificateAuthority, type Certified, forLoopback } from '../peers/certificate-authority.ts'
import { fixedToken } from './fixed-token.ts'

/** Ends TLS before a gateway. */
async function front(t: Test, certified: Certified) {
  const { port } = await openFs(t)
  const sockets = new Set<TLSSocket>()
  let resumed = 0
  const server = createServer(certified, (socket) => {
    sockets.add(socket)
    if (socket.isSessionReused()) resumed++
    const far = connect(port, '127.0.0.1')
    socket.pipe(far).pipe(socket)
    for (const each of [socket, far])
      each.on('error', () => {}).on('close', () => [socket, far].map((one) => one.destroy()))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cutAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(() => {
    cutAll()
    server.close()
  })
  const own = (server.address() as AddressInfo).port
  return { cutAll, resumed: () => resumed, url: (host = '127.0.0.1') => `https://${host}:${own}` }
}

async function mount(t: Test, url: string, options: Partial<FsOptions> = {}) {
  const source = fixedToken(new Secret('alice'), 'the test')
  const fs = await connectFs({ origin: new URL(url), source, timeout: 20_000, ...options })
  t.teardown(() => fs.close())
  return fs
}

t.test('a certificate of an unknown authority, or of another host, is refused', async (t) => {
  const [authority, stranger] = [new CertificateAuthority(t), new CertificateAuthority(t, '/CN=Stranger')]
  const { url } = await front(t, authority.certify('/CN=gateway', { extensions: forLoopback }))
  await t.rejects(mount(t, url()), { code: 'unavailable', message: /--ca/ })
  await t.rejects(mount(t, url(), { ca: stranger.cert }), { code: 'unavailable', message: /--ca/ })
  const other = await front(t, authority.certify('/CN=other', { extensions: ['subjectAltName=DNS:other.example'] }))
  for (const host of ['127.0.0.1', 'localhost']) {
    await t.rejects(mount(t, other.url(host), { ca: authority.cert }), { code: 'unavailable' }, host)
  }
  await t.rejects(mount(t, url().replace('https', 'http')), { code: 'unavailable' }, 'no TLS is spoken to it')
})

t.test('bytes over TLS arrive whole, also over connections that break', async (t) => {
  const authority = new CertificateAuthority(t)
  const { url, cutAll, resumed } = await front(t, authority.certify('/CN=gateway', { extensions: forLoopback }))
  const fs = await mount(t, url('localhost'), { ca: authority.cert })
  const file = await fs.open(parsePath('/data/file'), { write: true, create: { exclusive: true, mode: 0o600 } })
  const bytes = randomBytes(5_000_000)
  await file.write(bytes, 0)
  const into = Buffer.alloc(6_000_000)
  t.equal(await file.read(into, 0), bytes.length)
  t.ok(into.subarray(0, bytes.length).equals(bytes))
  cutAll()
  t.equal(await file.read(into, 1_000_000), bytes.length - 1_000_000)
  t.ok(into.subarray(0, 4_000_000).equals(bytes.subarray(1_000_000)))
  t.ok(resumed() > 0, 'with a shorter handshake')
})
