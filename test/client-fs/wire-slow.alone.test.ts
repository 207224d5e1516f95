/** The small HTTP client over a link of little bandwidth: what gets on is waited for, what does not is given up. */

import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { connectFs } from '../../mounts/client/fs/connect.ts'
import { Dialer } from '../../mounts/client/fs/dial.ts'
import { Wire } from '../../mounts/client/fs/wire.ts'
import { CertificateAuthority, forLoopback } from '../peers/certificate-authority.ts'
import { fixedToken } from './fixed-token.ts'
import { Pretended } from './pretended.ts'
import { SlowLink, type SlowLinkOptions } from './slow-link.ts'

t.setTimeout(120_000)

const mib = 1024 * 1024
/** Milliseconds: many times what the buffers of the link hold. */
const quiet = 1500

/** Behind a slow link: takes what is sent and says how much it was; gives as much as the query asks for. */
async function slow(
  t: Test,
  options: Omit<SlowLinkOptions, 'port'> & { readonly tls?: boolean },
): Promise<{ link: SlowLink; dialer: Dialer }> {
  const answer: RequestListener = (request, response) => {
    let count = 0
    request.on('data', (chunk: Buffer) => {
      count += chunk.length
    })
    request.on('end', () => {
      const wanted = Number(new URL(request.url ?? '', 'http://x').searchParams.get('length'))
      response.end(wanted > 0 ? Buffer.alloc(wanted, 7) : `${count}`)
    })
  }
  const authority = options.tls ? new CertificateAuthority(t) : undefined
  const server: Server & { closeAllConnections(): void } = authority
    ? createTlsServer(authority.certify('/CN=gateway', { extensions: forLoopback }), answer)
    : createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const link = await SlowLink.start(t, { ...options, port: (server.address() as AddressInfo).port })
  const origin = new URL(`${authority ? 'https' : 'http'}://127.0.0.1:${link.port}`)
  return { link, dialer: new Dialer({ origin, ca: authority?.cert }) }
}

async function wires(t: Test, dialer: Dialer, count: number): Promise<readonly Wire[]> {
  const opened = await Promise.all(Array.from({ length: count }, () => Wire.open(dialer, { limit: 20_000 })))
  t.teardown(() => {
    for (const wire of opened) wire.close()
  })
  return opened
}

for (const tls of [false, true]) {
  const over = tls ? 'TLS' : 'TCP'

  t.test(`several blocks at once over a slow uplink arrive, however long that takes (${over})`, async (t) => {
    const { dialer } = await slow(t, { rate: 2 * mib, tls })
    const body = Buffer.alloc(2 * mib)
    const began = performance.now()
    const answers = await Promise.all(
      (await wires(t, dialer, 4)).map((wire) =>
        wire.exchange({ method: 'PUT', target: '/', headers: '', body }, { largest: 1024, quiet }),
      ),
    )
    t.ok(performance.now() - began > 2 * quiet, `took ${performance.now() - began}`)
    for (const answer of answers) t.equal(Buffer.from(answer.body).toString(), String(body.length))
  })

  t.test(`a body that is not taken any more ends with the time limit (${over})`, async (t) => {
    const { dialer, link } = await slow(t, { rate: mib, tls })
    const wire = await Wire.open(dialer, { limit: 20_000 })
    t.teardown(() => wire.close())
    const body = Buffer.alloc(16 * mib)
    const exchange = wire.exchange({ method: 'PUT', target: '/', headers: '', body }, { largest: 1024, quiet })
    const stuck = Promise.withResolvers<number>()
    setTimeout(() => {
      link.isStuck = true
      stuck.resolve(performance.now())
    }, 1.5 * quiet)
    await t.rejects(exchange, { code: 'timeout' })
    const late = performance.now() - (await stuck.promise)
    t.ok(late > 0.5 * quiet && late < 3 * quiet, `after ${late}`)
  })
}

for (const order of ['fair', 'oldest first'] as const) {
  t.test(`several answers at once over a slow downlink arrive, however long that takes (${order})`, async (t) => {
    const { dialer } = await slow(t, { rate: 2 * mib, order })
    const began = performance.now()
    const answers = await Promise.all(
      (await wires(t, dialer, 4)).map((wire) => {
        const into = Buffer.alloc(2 * mib)
        const target = `/?length=${into.length}`
        return wire.exchange({ method: 'GET', target, headers: '' }, { largest: 1024, quiet, into })
      }),
    )
    t.ok(performance.now() - began > 2 * quiet, `took ${performance.now() - began}`)
    for (const { body } of answers) t.ok(body.length === 2 * mib && body.every((byte) => byte === 7))
  })
}

t.test('what waits for a connection on a slow link waits as long as the others get on', async (t) => {
  const gateway = await Pretended.start(t)
  const link = await SlowLink.start(t, { port: Number(new URL(gateway.url).port), rate: mib })
  const origin = new URL(`http://127.0.0.1:${link.port}`)
  const source = fixedToken(new Secret('token'), 'the test')
  const fs = await connectFs({ origin, source, timeout: quiet, sizes: { data: 2 } })
  t.teardown(() => fs.close())
  const file = await fs.open(parsePath('/file'), { write: true, create: { exclusive: false, mode: 0o600 } })
  const began = performance.now()
  const blocks = Array.from({ length: 6 }, (_, index) => Buffer.alloc(mib, index))
  await Promise.all(blocks.map((block) => file.write(block, 0)))
  t.ok(performance.now() - began > 3 * quiet, `took ${performance.now() - began}`)
  t.equal(gateway.asked.filter((what) => what === 'data').length, blocks.length, 'each was sent once')
})
