/** A mount with a Kerberos ticket (HTTP Negotiate, RFC 4559): once for a cookie, or with every request. */

import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { withoutToken } from '../../mounts/client/credentials/source.ts'
import { connectFs } from '../../mounts/client/fs/connect.ts'
import type { TicketLibrary } from '../../mounts/client/tickets.ts'
import { openFs } from '../api-fs/client.ts'

/** Knows tickets, each good once, in front of a gateway that knows tokens. */
async function front(t: Test, cookies: boolean) {
  const { port } = await openFs(t)
  const good = new Set<string>()
  const seen = new Set<string>()
  const server = createServer((asked, answer) => {
    const { authorization = '', cookie = '', ...headers } = asked.headers
    const ticket = /^Negotiate (.+)$/.exec(authorization)?.[1]
    const isFresh = ticket !== undefined && !seen.has(ticket)
    if (!isFresh && !good.has(cookie)) {
      asked.resume()
      answer.writeHead(401, { 'www-authenticate': 'Negotiate', 'content-length': '0' }).end()
      return
    }
    if (ticket !== undefined) seen.add(ticket)
    const standing = { ...headers, authorization: 'Bearer alice' }
    const far = request({ port, host: '127.0.0.1', method: asked.method, path: asked.url, headers: standing })
    far.on('error', () => answer.destroy())
    far.on('response', (response) => {
      if (ticket !== undefined) answer.setHeader('WWW-Authenticate', `Negotiate ${ticket.replace('dGlja2V0', 'proof')}`)
      if (ticket !== undefined && cookies) {
        good.add(`portolan-ticket=${ticket}`)
        answer.setHeader('Set-Cookie', `portolan-ticket=${ticket}; Path=/; HttpOnly; Max-Age=300`)
      }
      answer.writeHead(response.statusCode ?? 0, response.headers)
      response.on('error', () => answer.destroy()).pipe(answer)
    })
    answer.on('close', () => far.destroy())
    asked.pipe(far)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    seen,
    forget: () => good.clear(),
  }
}

function library(): () => Promise<TicketLibrary> {
  let count = 0
  return async () => ({
    begin: async () => {
      const number = ++count
      return { token: `dGlja2V0${number}`, proves: async (answer) => answer === `proof${number}` }
    },
  })
}

t.test('a ticket, its cookie, and the next ticket when that has ended', async (t) => {
  const { url, seen, forget } = await front(t, true)
  const fs = await connectFs({
    origin: url,
    source: withoutToken('required'),
    ticketLibrary: library(),
    timeout: 10_000,
  })
  t.teardown(() => fs.close())
  t.equal(fs.user, 'alice@desy.de')
  const file = await fs.open(parsePath('/data/file'), { write: true, create: { exclusive: true, mode: 0o600 } })
  await file.write(Buffer.alloc(100_000, 1), 0)
  t.equal(seen.size, 1)
  forget()
  t.equal(await file.read(Buffer.alloc(200_000), 0), 100_000)
  t.ok(seen.size >= 2)
})

t.test('a ticket for every request, where there are no cookies', async (t) => {
  const { url, seen } = await front(t, false)
  const fs = await connectFs({
    origin: url,
    source: withoutToken('required'),
    ticketLibrary: library(),
    timeout: 10_000,
  })
  t.teardown(() => fs.close())
  const file = await fs.open(parsePath('/data/file'), { write: true, create: { exclusive: true, mode: 0o600 } })
  await file.write(Buffer.alloc(100_000, 1), 0)
  t.equal(await file.read(Buffer.alloc(200_000), 0), 100_000)
  t.ok(seen.size >= 4)
})

t.test('without a ticket nothing is mounted', async (t) => {
  const { url } = await front(t, true)
  const none = async (): Promise<TicketLibrary> => ({ begin: () => Promise.reject(new Error('no credentials cache')) })
  await t.rejects(connectFs({ origin: url, source: withoutToken('required'), ticketLibrary: none }), {
    code: 'unauthenticated',
    message: /kinit/,
  })
})
