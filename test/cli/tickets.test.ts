import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { Client } from '../../mounts/client/client.ts'
import { type TicketLibrary, Tickets, type TicketUse } from '../../mounts/client/tickets.ts'
import { portolan, scratch } from './running.ts'

const file = parsePath('/data/f')

async function serve(t: Test, listener: RequestListener): Promise<URL> {
  const server = createServer(listener)
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    response.writeContinue()
    listener(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

/** Gives tickets named by their number; a server proves itself by `proof-` and that number. */
function library(): TicketLibrary & { readonly services: string[] } {
  const services: string[] = []
  return {
    services,
    begin: async (service) => {
      const number = services.push(service)
      return { token: `dGlja2V0${number}`, proves: async (answer) => answer === `proof${number}` }
    },
  }
}

function clientOf(t: Test, origin: URL, ticketLibrary: TicketLibrary | undefined, tickets: TicketUse = 'required') {
  const client = new Client({ origin, tickets, ticketLibrary: async () => ticketLibrary })
  t.teardown(() => client.close())
  return client
}

interface Gateway {
  /** `METHOD path: credential`. */
  readonly log: string[]
  readonly listener: RequestListener
  cookies: boolean
  /** Those given out so far are worth nothing. */
  forget(): void
  proof: (number: string) => string[]
}

/** As a gateway that speaks Negotiate (RFC 4559, section 4), and gives a cookie for a ticket. */
function gateway(): Gateway {
  const good = new Set<string>()
  const self: Gateway = {
    log: [],
    cookies: true,
    proof: (number) => ['WWW-Authenticate', `Negotiate proof${number}`],
    forget: () => good.clear(),
    listener: (request, response) => {
      const { authorization = '', cookie = '' } = request.headers
      self.log.push(`${request.method} ${request.url}: ${authorization || cookie || 'nothing'}`)
      request.resume().on('end', () => {
        const [, number] = /^Negotiate dGlja2V0(\d+)$/.exec(authorization) ?? []
        const name = cookie.replace('portolan-ticket=', '')
        if (number !== undefined) {
          const value = `c${number}`
          good.add(value)
          const given = self.cookies ? ['Set-Cookie', `portolan-ticket=${value}; Path=/; HttpOnly; Max-Age=300`] : []
          response.writeHead(200, [...self.proof(number), ...given]).end('{}')
        } else if (good.has(name)) response.writeHead(200).end('data')
        else response.writeHead(401, ['WWW-Authenticate', 'Bearer, Negotiate']).end()
      })
    },
  }
  return self
}

t.test('one small request shows a ticket, and a cookie stands for it from then on', async (t) => {
  const { log, listener } = gateway()
  const tickets = library()
  const client = clientOf(t, await serve(t, listener), tickets)
  const answers = await Promise.all([client.get(file), client.get(file)])
  t.same(await Promise.all(answers.map(({ body }) => text(body))), ['data', 'data'])
  await client.put(file, Readable.from([Buffer.alloc(10)]), { size: 10 })
  t.same(tickets.services, ['HTTP@127.0.0.1'])
  t.same(log, [
    'GET /.portolan/api/v1/whoami: Negotiate dGlja2V01',
    'GET /data/f: portolan-ticket=c1',
    'GET /data/f: portolan-ticket=c1',
    'PUT /data/f: portolan-ticket=c1',
  ])
})

t.test('a cookie that has ended costs one more ticket', async (t) => {
  const { log, listener, forget } = gateway()
  const client = clientOf(t, await serve(t, listener), library())
  await text((await client.get(file)).body)
  forget()
  t.equal(await text((await client.get(file)).body), 'data')
  t.same(log.slice(2), [
    'GET /data/f: portolan-ticket=c1',
    'GET /.portolan/api/v1/whoami: Negotiate dGlja2V02',
    'GET /data/f: portolan-ticket=c2',
  ])
  forget()
  await t.rejects(client.put(file, Readable.from(['x']), { size: 1 }), { code: 'unauthenticated' }, 'sent only once')
  await client.put(file, Readable.from(['x']), { size: 1 })
})

t.test('of the cookies of an answer only the one for tickets counts, while it is good', async (t) => {
  const own = '__Host-portolan-ticket'
  const cases: ReadonlyArray<readonly [origin: string, given: string[], sent: string | undefined]> = [
    ['https://gw', [`${own}=abc; Path=/; Secure; HttpOnly; Max-Age=300`], `${own}=abc`],
    ['https://gw', ['other=1; Max-Age=300', `${own}=k1.x-_Y; max-age=60`], `${own}=k1.x-_Y`],
    ['https://gw', ['portolan-ticket=abc; Max-Age=300'], undefined],
    ['http://127.0.0.1', [`${own}=abc; Max-Age=300`], undefined],
    ['http://127.0.0.1', ['portolan-ticket=abc'], 'portolan-ticket=abc'],
    ['https://gw', [`${own}=abc; Max-Age=10`], undefined],
    ['https://gw', [`${own}=; Max-Age=0`], undefined],
    ['https://gw', [`${own}=a b\r\nX: y; Max-Age=300`], undefined],
    ['https://gw', [`${own}=${'x'.repeat(5000)}; Max-Age=300`], undefined],
    ['https://gw', [], undefined],
  ]
  for (const [origin, given, sent] of cases) {
    const numbered = library()
    const tickets = new Tickets(new URL(origin), 'required', async () => numbered)
    const headers = { 'www-authenticate': 'Negotiate proof1', 'set-cookie': given }
    const { headers: out } = await tickets.headersFor(async () => ({ status: 200, headers }))
    t.equal(out.cookie, sent, given.join().slice(0, 60))
    t.equal(out.authorization, sent === undefined ? 'Negotiate dGlja2V02' : undefined)
  }
})

t.test('without cookies every request has a ticket of its own', async (t) => {
  const own = gateway()
  own.cookies = false
  const client = clientOf(t, await serve(t, own.listener), library())
  await text((await client.get(file)).body)
  await client.put(file, Readable.from(['x']), { size: 1 })
  t.same(own.log, [
    'GET /.portolan/api/v1/whoami: Negotiate dGlja2V01',
    'GET /data/f: Negotiate dGlja2V02',
    'PUT /data/f: Negotiate dGlja2V03',
  ])
})

t.test('a gateway that is busy at first gives a cookie later', async (t) => {
  const own = gateway()
  let isBusy = true
  const origin = await serve(t, (request, response) => {
    if (!isBusy || request.url === '/data/f') return own.listener(request, response)
    isBusy = false
    response.writeHead(503).end()
  })
  const client = clientOf(t, origin, library())
  for (let index = 0; index < 3; index++) await text((await client.get(file)).body)
  t.same(own.log, [
    'GET /data/f: Negotiate dGlja2V02',
    'GET /.portolan/api/v1/whoami: Negotiate dGlja2V03',
    'GET /data/f: portolan-ticket=c3',
    'GET /data/f: portolan-ticket=c3',
  ])
})

t.test('a 401 to an old cookie takes away no newer one', async (t) => {
  const numbered = library()
  const tickets = new Tickets(new URL('https://gw'), 'required', async () => numbered)
  const ask = async () => {
    const number = numbered.services.length
    const cookie = `__Host-portolan-ticket=c${number}; Max-Age=300`
    return { status: 200, headers: { 'www-authenticate': `Negotiate proof${number}`, 'set-cookie': [cookie] } }
  }
  const old = await tickets.headersFor(ask)
  t.equal(tickets.forget(old), true)
  const { headers } = await tickets.headersFor(ask)
  t.equal(tickets.forget(old), true, 'worth another try')
  t.same((await tickets.headersFor(ask)).headers, headers)
})

t.test('who does not prove to be the service asked for gets nothing more', async (t) => {
  for (const proof of [[], ['WWW-Authenticate', 'Negotiate'], ['WWW-Authenticate', 'Negotiate AAAA']]) {
    const own = gateway()
    own.proof = () => proof
    const client = clientOf(t, await serve(t, own.listener), library())
    await t.rejects(client.put(file, Readable.from(['x']), { size: 1 }), {
      code: 'unavailable',
      message: /did not prove/,
    })
    t.same(own.log, ['GET /.portolan/api/v1/whoami: Negotiate dGlja2V01'])
  }
})

t.test('neither ticket nor cookie goes to another host, nor comes back from there', async (t) => {
  const seen: string[] = []
  const note = ({ url, headers: { authorization, cookie } }: IncomingMessage) =>
    seen.push(`${url}: ${authorization ?? cookie ?? 'nothing'}`)
  let home = ''
  const other = await serve(t, (request, response) => {
    note(request)
    response.writeHead(302, { location: `${home}/back` }).end()
  })
  const own = gateway()
  const origin = await serve(t, (request, response) => {
    if (request.url === '/back') {
      note(request)
      response.end('back')
    } else if (request.url === '/data/f') response.writeHead(302, { location: `${other.origin}/away` }).end()
    else own.listener(request, response)
  })
  home = origin.origin
  t.equal(await text((await clientOf(t, origin, library()).get(file)).body), 'back')
  t.same(seen, ['/away: nothing', '/back: nothing'])
})

t.test('where there is no ticket, only who asked for Kerberos hears of it', async (t) => {
  const none: TicketLibrary = { begin: () => Promise.reject(new Error('No Kerberos credentials available')) }
  const origin = await serve(t, (request, response) => {
    t.equal(request.headers.authorization, undefined)
    response.end('data')
  })
  t.equal(await text((await clientOf(t, origin, none, 'if-any').get(file)).body), 'data')
  t.equal(await text((await clientOf(t, origin, undefined, 'if-any').get(file)).body), 'data')
  await t.rejects(clientOf(t, origin, none).get(file), { code: 'unauthenticated', message: /run kinit \(No Kerberos/ })
  await t.rejects(clientOf(t, origin, undefined).get(file), { code: 'unsupported', message: /package kerberos/ })
})

t.test('a gateway without Kerberos is asked without, or named', async (t) => {
  const log: string[] = []
  const origin = await serve(t, (request, response) => {
    log.push(request.headers.authorization ?? 'nothing')
    if (request.headers.authorization === undefined) response.end('data')
    else response.writeHead(401, { 'WWW-Authenticate': 'Bearer realm="portolan"' }).end()
  })
  const client = clientOf(t, origin, library(), 'if-any')
  t.equal(await text((await client.get(file)).body), 'data')
  t.equal(await text((await client.get(file)).body), 'data')
  t.same(log, ['Negotiate dGlja2V01', 'nothing', 'nothing'])
  await t.rejects(clientOf(t, origin, library()).get(file), { code: 'unauthenticated', message: /takes no Kerberos/ })
})

t.test('a gateway that knows Kerberos and refuses the ticket is not asked as somebody else', async (t) => {
  const origin = await serve(t, (_request, response) =>
    response.writeHead(401, { 'WWW-Authenticate': 'Negotiate, Bearer realm="portolan"' }).end(),
  )
  for (const use of ['if-any', 'required'] as const) {
    await t.rejects(clientOf(t, origin, library(), use).get(file), { message: /did not accept the Kerberos ticket/ })
  }
})

t.test('a ticket is not sent over plain HTTP to another machine', async (t) => {
  const origin = new URL('http://gw.example.org')
  t.throws(() => new Client({ origin, tickets: 'required' }), { code: 'invalid', message: /ticket/ })
  t.doesNotThrow(() => new Client({ origin, tickets: 'if-any' }).close(), 'it goes without')
})

t.test('--auth says how to sign in', async (t) => {
  const log: string[] = []
  const origin = await serve(t, (request, response) => {
    log.push(request.headers.authorization ?? 'nothing')
    const me = { id: 'x', user: null, groups: [], grants: [], administrator: false, expires: null, posix: null }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(me))
  })
  const cache = { KRB5CCNAME: `FILE:${scratch(t)}/none` }
  const run = (words: readonly string[], env: Record<string, string> = {}) =>
    portolan(['whoami', '--json', '--url', origin.origin, ...words], { env: { ...cache, ...env } })
  const cases: ReadonlyArray<readonly [words: string[], env: Record<string, string>, code: number, said: RegExp]> = [
    [['--auth', 'other'], {}, 2, /expected auto, token, kerberos, none/],
    [[], { PORTOLAN_AUTH: 'other' }, 2, /PORTOLAN_AUTH/],
    [['--auth', 'token'], {}, 2, /there is no token/],
    [['--auth', 'kerberos', '--anonymous'], { BEARER_TOKEN: 'abc' }, 2, /contradict/],
    [['--auth', 'kerberos', '--as', 'alice'], {}, 2, /sends no token/],
    [['--auth', 'none'], { BEARER_TOKEN: 'abc' }, 0, /^$/],
    [['--auth', 'token'], { BEARER_TOKEN: 'abc' }, 0, /^$/],
  ]
  for (const [words, env, code, said] of cases) {
    const { code: ended, stderr } = await run(words, env)
    t.equal(ended, code, words.join(' '))
    t.match(stderr, said)
  }
  t.same(log, ['nothing', 'Bearer abc'])
  const required = await run(['--auth', 'kerberos'], { BEARER_TOKEN: 'abc' })
  t.equal(required.code, 1)
  t.match(required.stderr, /run kinit|package kerberos/)
})
