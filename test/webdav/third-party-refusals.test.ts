/** Orders that are refused: before the other server hears of them, in words that give nothing away. */

import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { parseOrder } from '../../gateway/webdav/third-party/order.ts'
import { ask, openDoor, store } from '../http/door.ts'
import { copy, openCopier, outcomeOf, serve } from './third-party-world.ts'

const url = 'https://se.example.org/f'

/** The order, or the code of the error. */
function parse(raw: readonly string[]) {
  const headers = Object.fromEntries(
    raw.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), raw[at + 1] ?? '']] : [])),
  )
  try {
    return parseOrder({ headers, rawHeaders: [...raw] })
  } catch (error) {
    return StorageError.from(error).code
  }
}

t.test('an order is read as the grid writes it', async (t) => {
  const order = parse([
    ...[
      'Source',
      'davs://se.example.org:443/a%20b?authz=x#part',
      'X-Number-Of-Streams',
      '0',
      'Secure-Redirection',
      '1',
    ],
    ...['Credential', 'none', 'X-No-Delegate', 'true', 'RequireChecksumVerification', 'false', 'Overwrite', 'F'],
    ...['TransferHeaderAuthorization', 'Bearer x', 'transferheaderx-other', 'y', 'TransferHeader', 'z', 'SciTag', '66'],
  ])
  if (typeof order === 'string') return void t.fail(order)
  t.match(order, { direction: 'pull', verify: false, overwrite: false })
  t.equal(order.remote.href, 'https://se.example.org/a%20b?authz=x')
  t.same(
    [...order.headers].map(([name, value]) => [name, value.reveal()]),
    [
      ['Authorization', 'Bearer x'],
      ['X-Other', 'y'],
    ],
  )
  t.notMatch(JSON.stringify([...order.headers]), /Bearer/)
  t.match(parse(['Destination', url, 'Credential', 'none, none']), { direction: 'push', verify: true, overwrite: true })
})

t.test('what cannot be meant is refused', async (t) => {
  const many = Array.from({ length: 33 }, (_, index) => [`TransferHeaderX${index}`, 'x']).flat()
  for (const more of [
    ['Destination', url],
    ['Credential', 'gridsite'],
    ['Credential', 'oidc'],
    ['Credential', 'none, oidc'],
    ['Overwrite', 'maybe'],
    ['RequireChecksumVerification', '1'],
    ['RequireChecksumVerification', 'constructor'],
    ...['Host', 'Connection', 'Content-Length', 'Transfer-Encoding', 'TE', 'Trailer', 'Upgrade', 'Keep-Alive'].map(
      (name) => [`TransferHeader${name}`, 'x'],
    ),
    ...['proxy-authorization', 'EXPECT', 'Range', 'Accept-Encoding', 'X-Forwarded-For', 'Forwarded', 'Via'].map(
      (name) => [`transferheader${name}`, 'x'],
    ),
    ['TransferHeaderAuthorization', 'a', 'TransferHeaderauthorization', 'b'],
    ['TransferHeader:x', 'a'],
    ['TransferHeaderX', 'a\u0100'],
    ['TransferHeaderX', 'a\r\nHost: b'],
    many,
  ])
    t.equal(parse(['Source', url, ...more]), 'invalid', more.join(' ').slice(0, 80))
  for (const source of [
    ...['', '/data/f', 'se.example.org/f', 'file:///etc/passwd', 'ftp://x/f', 'gopher://x/', 'https://', 'https:///'],
    ...['https://u:p@se.example.org/f', 'https://u@se.example.org/f', 'javascript:1', 'root://x//f', 'https://a b/'],
    ...[
      'dav:u:p@se.example.org/f',
      'dav:\\\\u:p@se.example.org/f',
      'davs://u:p@se.example.org/f',
      'dav:se.example.org/f',
    ],
    `https://se.example.org/${'x'.repeat(9000)}`,
  ])
    t.equal(parse(['Source', source]), 'invalid', source.slice(0, 80))
})

t.test('whoever may not write or read here makes nobody be called', async (t) => {
  let calls = 0
  const other = await serve(t, (_request, response) => {
    calls++
    response.end()
  })
  const here = await openCopier(t)
  await store(here.storage, '/data/f', 'hello')
  const there = `${other.url}/f`
  for (const [as, path, headers, status] of [
    ['', '/data/copy', { Source: there }, 401],
    ['', '/data/f', { Destination: there }, 401],
    ['bob', '/data/copy', { Source: there }, 403],
    ['bob', '/data/none', { Destination: there }, 404],
    ['reader', '/data/f', { Destination: there }, 403],
    ['alice', '/data/none', { Destination: there }, 404],
    ['alice', '/data/f', { Source: there, Overwrite: 'F' }, 412],
    ['alice', '/data/f', { Source: there, 'If-Match': '"x"' }, 412],
    ['alice', '/data/f/below', { Source: there }, 409],
    ['alice', '/data/f', { Source: there, Credential: 'gridsite' }, 400],
    ['alice', '/data/f', { Source: there, Destination: there }, 400],
  ] as const) {
    const { status: answered } = await copy(here.port, path, headers, as)
    t.equal(answered, status, `${as} ${path}`)
  }
  t.equal(calls, 0)
  t.equal((await copy(here.port, '/data/', { Source: there })).status >= 400, true)
})

t.test('a server that is not listed is refused, and the log of decisions says which', async (t) => {
  let calls = 0
  const other = await serve(t, (_request, response) => {
    calls++
    response.end()
  })
  for (const more of [{ hosts: ['se.example.org'] }, { networks: [] }, { insecure: false }]) {
    const here = await openCopier(t, more)
    await store(here.storage, '/data/f', 'hello')
    const pulled = await copy(here.port, '/data/copy', { Source: `${other.url}/f?authz=secret` })
    const pushed = await copy(here.port, '/data/f', { Destination: `${other.url}/f?authz=secret` })
    for (const { status, text } of [pulled, pushed]) {
      t.equal(status, 403)
      t.notMatch(text, /127\.0\.0\.1|secret/)
    }
    const refused = here.audit.records.filter(({ reason }) => reason?.rule === 'third-party-target')
    t.same(
      refused.map(({ action, outcome }) => [action, outcome]),
      [
        ['create', 'refused'],
        ['read', 'refused'],
      ],
    )
    t.match(refused[0]?.reason?.text, other.url)
    t.notMatch(JSON.stringify([here.audit.records, here.lines]), /secret/)
  }
  t.equal(calls, 0)
})

t.test('without servers to copy from there are no such copies', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/f', 'hello')
  t.equal((await copy(port, '/data/f', { Destination: url })).status, 502)
  t.ok((await copy(port, '/data/copy', { Source: url })).status >= 400)
})

t.test('one caller has so many copies at once, and all together so many', async (t) => {
  const held: (() => void)[] = []
  const other = await serve(t, (_request, response) => {
    held.push(() => void response.writeHead(200, { Digest: 'adler32=062c0215' }).end('hello'))
    if (held.length === 2) for (const release of held.splice(0)) release()
  })
  const here = await openCopier(t, { transfersPerPrincipal: 2 })
  const order = (name: string) => copy(here.port, `/data/${name}`, { Source: `${other.url}/f` })
  const first = order('one')
  await t.resolves(until(() => held.length === 1))
  const [one, two, three] = await Promise.all([first, order('two'), order('three')])
  const outcomes = [one, two, three].map((answer) => (answer.status === 202 ? outcomeOf(answer) : answer.status))
  t.equal(outcomes[0], 'success: Created')
  t.same(outcomes.slice(1).sort(), [503, 'success: Created'].sort())
  const busy = two.status === 503 ? two : three
  t.equal(busy.headers['retry-after'], '10')
  t.same(outcomeOf(await Promise.all([order('four'), order('five')]).then(([four]) => four)), 'success: Created')
})

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve))
}

t.test('no credential of a copy is logged, nor in an answer', async (t) => {
  const other = await serve(t, (_request, response) => void response.writeHead(403).end())
  const here = await openCopier(t)
  const headers = { TransferHeaderAuthorization: 'Bearer topsecret', Source: `${other.url}/f?authz=alsosecret` }
  const answer = await ask(here.port, 'COPY', '/data/copy', { as: 'alice', headers })
  t.equal(outcomeOf(answer), 'failure: rejected GET: 403 Forbidden')
  t.notMatch(JSON.stringify([answer, here.lines, here.audit.records]), /secret/)
  t.match(
    here.lines.find((line) => 'direction' in line),
    {
      direction: 'pull',
      remote: other.url,
      outcome: 'unavailable',
      because: 'rejected GET: 403 Forbidden',
    },
  )
})
