/** Several processes that are one gateway. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startTestGateway } from './harness.ts'
import { send } from './http.ts'
import { makeLab } from './tree.ts'

t.setTimeout(180_000)

const gateway = await startTestGateway(t, {
  workers: 2,
  metrics: true,
  mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
})

t.test('of fifty writers with one If-Match exactly one wins, whatever process serves them', async (t) => {
  for (const round of [1, 2, 3]) {
    const { etag } = (await gateway.put('/lab/p01/f', 'alice', `round ${round}`)).headers
    const writers = Array.from({ length: 50 }, (_, index) =>
      gateway.put('/lab/p01/f', 'alice', `writer ${index} of round ${round}`, { 'If-Match': String(etag) }),
    )
    const answers = await Promise.all(writers)
    const winners = answers.flatMap(({ status }, index) => (status === 204 ? [index] : []))
    t.equal(winners.length, 1, `round ${round}: one wins`)
    const others = answers.filter((_, index) => !winners.includes(index)).map(({ status }) => status)
    t.ok(
      others.every((status) => status === 412),
      `round ${round}: the rest get 412: ${[...new Set(others)].join()}`,
    )
    const { text } = await gateway.get('/lab/p01/f', 'alice')
    t.equal(text, `writer ${winners[0]} of round ${round}`, 'and the winner is what is there')
  }
  t.same(readdirSync(join(gateway.tree('/lab'), 'p01')), ['f'], 'nothing is left beside it')
})

t.test('of fifty writers of a new file exactly one makes it', async (t) => {
  const writers = Array.from({ length: 50 }, (_, index) =>
    gateway.put('/lab/alice/new', 'alice', `writer ${index}`, { 'If-None-Match': '*' }),
  )
  const statuses = (await Promise.all(writers)).map(({ status }) => status)
  t.equal(statuses.filter((status) => status === 201).length, 1)
  t.equal(statuses.filter((status) => status === 412).length, 49)
})

t.test('readers see one version or the other while it is replaced', async (t) => {
  const versions = ['a', 'b'].map((letter) => Buffer.alloc(1_000_000, letter))
  await gateway.put('/lab/alice/changing', 'alice', versions[0] ?? '')
  let writing = true
  const writer = (async () => {
    for (let round = 0; round < 30; round++)
      await gateway.put('/lab/alice/changing', 'alice', versions[round % 2] ?? '')
    writing = false
  })()
  let mixtures = 0
  let reads = 0
  while (writing) {
    const { status, body } = await gateway.get('/lab/alice/changing', 'alice')
    reads++
    if (status !== 200 || !versions.some((version) => version.equals(body))) mixtures++
  }
  await writer
  t.equal(mixtures, 0, `none of ${reads} reads saw a mixture`)
})

t.test('metrics are counted over all processes, by labels that nobody from outside can multiply', async (t) => {
  const scrape = async () => (await send(gateway.metricsPort, { path: '/metrics' })).text
  const ask = async (tag: string) => {
    for (let index = 0; index < 8; index++) {
      await gateway.put(`/lab/alice/${tag}${index}`, 'alice', 'x')
      await gateway.get(`/lab/alice/${tag}${index}`, 'alice')
      await gateway.get(`/lab/alice/zmissing-${tag}${index}?q=${tag}`, 'bob')
      await gateway
        .request({ method: `X${tag.toUpperCase()}${index}`, path: '/lab', headers: { Host: 'localhost' } })
        .catch(() => {})
      await gateway.request({ path: `/lab/${tag}`, token: await gateway.token('alice', { sub: `${tag}${index}` }) })
    }
  }
  await ask('quagga')
  const first = await scrape()
  t.match(first, /^portolan_workers 2$/m)
  const read = /^portolan_\w+\{[^}]*\bread\b[^}]*\} [1-9]/m
  t.match(first, read, 'reads are counted')
  for (const secret of ['alice', 'bob', 'quagga', 'zmissing', 'lab.example', gateway.directory]) {
    t.notMatch(first, secret, `no ${secret} in them`)
  }
  await ask('okapi')
  const series = (text: string) =>
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.replace(/ [^ ]*$/, ''))
      .toSorted()
  const second = await scrape()
  t.same(series(second), series(first), 'other paths, users and methods make no other series')
  t.ok(series(first).length < 2000, `${series(first).length} series`)
  t.equal((await gateway.get('/metrics')).status, 401, 'the door itself has none')
})
