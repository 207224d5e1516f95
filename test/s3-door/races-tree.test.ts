/** Keys on a tree, written and removed at once: directories that come and go, and names that are wanted as both. */

import t from 'tap'
import { leftovers } from '../faults/leftovers.ts'
import { startTestGateway } from '../gateway/harness.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { Barrier, codeOf, etagOf, race } from './racing.ts'

t.setTimeout(180_000)

const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
  s3: { buckets: { lab: '/lab' } },
})
const base = '/lab/alice'

const put = (path: string, body: string, headers = {}) =>
  gateway.s3({ method: 'PUT', path, user: 'alice', body, headers })
const remove = (path: string) => gateway.s3({ method: 'DELETE', path, user: 'alice' })

t.test('writers whose directories others remove succeed, or are told to try again', async (t) => {
  const codes = new Map<string, number>()
  let writing = true
  const removing = async (path: string) => {
    while (writing) {
      const { status } = await remove(path)
      if (status !== 204) codes.set(`removal ${status}`, 1)
    }
  }
  const writer = async (index: number) => {
    for (let round = 0; round < 25; round++) {
      const path = `${base}/a/b/c/${index}`
      const code = codeOf(await put(path, `${round}`))
      codes.set(code, (codes.get(code) ?? 0) + 1)
      if (code === '200') t.equal(codeOf(await remove(path)), '204')
    }
  }
  const removers = ['a/b/c/', 'a/b/', 'a/'].map((path) => removing(`${base}/${path}`))
  await Promise.all(Array.from({ length: 8 }, (_, index) => writer(index)))
  writing = false
  await Promise.all(removers)
  const expected = ['200', 'SlowDown', 'ConditionalRequestConflict']
  const others = [...codes.keys()].filter((code) => !expected.includes(code))
  t.same(others, [], [...codes].join(' '))
  t.ok((codes.get('200') ?? 0) > 100, 'most of them at once')
})

t.test('of a name that is wanted as object and as directory one is there, and the others are told so', async (t) => {
  for (let round = 0; round < 20; round++) {
    const path = `${base}/both-${round}`
    const barrier = new Barrier(16)
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, index) => {
        const below = index % 2 === 0 ? '' : `/${index}`
        return race(gateway, 'alice', barrier, { door: 's3', path: path + below, content: `${index}` })
      }),
    )
    const [objects, below] = [0, 1].map((kind) => new Set(answers.filter((_, index) => index % 2 === kind).map(codeOf)))
    const isObject = (await gateway.s3({ path, user: 'alice' })).status === 200
    const [won, lost] = isObject ? [objects, below] : [below, objects]
    t.same(won, new Set(['200']), `round ${round}: ${isObject ? 'an object' : 'a directory'}`)
    t.same(lost, new Set([isObject ? 'ObjectParentIsFile' : 'ExistingObjectIsDirectory']), `round ${round}`)
  }
})

t.test('of 32 copies to a new key exactly one makes it', async (t) => {
  const sources = Array.from({ length: 32 }, (_, index) => `${base}/source-${index}`)
  await Promise.all(sources.map((path, index) => put(path, `content ${index}`, { 'x-amz-meta-source': String(index) })))
  for (let round = 0; round < 20; round++) {
    const path = `${base}/copy-${round}`
    const answers = await Promise.all(
      sources.map((source) => put(path, '', { 'x-amz-copy-source': source, 'if-none-match': '*' })),
    )
    const winners = answers.flatMap(({ status }, index) => (status === 200 ? [index] : []))
    t.equal(winners.length, 1, `round ${round}`)
    const losers = new Set(answers.filter(({ status }) => status !== 200).map(codeOf))
    t.same(
      [...losers].filter((code) => !['PreconditionFailed', 'ConditionalRequestConflict'].includes(code)),
      [],
    )
    const { text, headers } = await gateway.s3({ path, user: 'alice' })
    t.equal(text, `content ${winners[0]}`)
    t.equal(headers['x-amz-meta-source'], String(winners[0]))
    t.equal(headers.etag, etagOf(text))
  }
  const clean = () => leftovers(gateway, gateway.tree('/lab')).length === 0
  await eventually(clean, 5000, 'something is left')
})
