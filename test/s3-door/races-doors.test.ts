/** Writers of all doors with conditions, over two processes of one state store; and readers while they write. */

import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { leftovers } from '../faults/leftovers.ts'
import { startTestGateway } from '../gateway/harness.ts'
import type { Answer } from '../gateway/http.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { Barrier, beginUpload, codeOf, completeUpload, etagOf, etagOfParts, race, sendPart } from './racing.ts'

t.setTimeout(300_000)

const rounds = 25
const base = '/lab/alice'

const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
  s3: { buckets: { lab: '/lab' } },
})

/** One of those who want to be first, and what is there afterwards if it is. */
interface Contender {
  readonly name: string
  /** Undefined: nothing is there. */
  readonly content: string | undefined
  /** The ETag by S3, where it is not one of those that the gateway makes up. */
  readonly etag?: string
  /** `x-amz-meta-writer` */
  readonly writer?: string
  run(barrier: Barrier): Promise<Answer>
}

interface Condition {
  readonly s3: Readonly<Record<string, string>>
  readonly http: Readonly<Record<string, string>>
}

const byS3 = (path: string, content: string, condition: Condition): Contender => {
  const headers = { ...condition.s3, 'x-amz-meta-writer': content }
  return {
    ...{ name: 'S3 PUT', content, etag: etagOf(content), writer: content },
    run: (barrier) => race(gateway, 'alice', barrier, { door: 's3', path, content, headers }),
  }
}

const byHttp = (path: string, content: string, { http }: Condition): Contender => ({
  ...{ name: 'HTTP PUT', content },
  run: (barrier) => race(gateway, 'alice', barrier, { door: 'http', path, content, headers: http }),
})

const byResumable = (path: string, content: string, { http }: Condition): Contender => {
  const headers = { ...http, 'upload-complete': '?1', 'upload-draft-interop-version': '8' }
  return {
    ...{ name: 'resumable upload', content },
    run: (barrier) => race(gateway, 'alice', barrier, { door: 'http', path, content, headers }),
  }
}

/** The part is there before the race. */
const byParts = async (path: string, content: string, condition: Condition): Promise<Contender> => {
  const upload = await beginUpload(gateway, 'alice', path, { 'x-amz-meta-writer': content })
  const { headers } = await sendPart(gateway, 'alice', upload, 1, content)
  return {
    ...{ name: 'completion', content, etag: etagOfParts([content]), writer: content },
    run: async (barrier) => {
      barrier.arrive()
      await barrier.open
      const answer = await completeUpload(gateway, 'alice', upload, [String(headers.etag)], condition.s3)
      const { status } = await gateway.s3({ method: 'DELETE', path: `${path}?uploadId=${upload.id}`, user: 'alice' })
      // An upload that lost is still there, and one that won is not.
      if ((status === 204) === (answer.status === 200)) throw new Error(`abort of ${answer.status} is ${status}`)
      return answer
    },
  }
}

const source = 'what is copied'

/** COPY and MOVE of WebDAV, which replace nothing. */
const byTransfer = async (path: string, from: string, method: 'COPY' | 'MOVE'): Promise<Contender> => {
  await gateway.s3({ method: 'PUT', path: from, user: 'alice', body: source, headers: { 'x-amz-meta-writer': from } })
  return {
    ...{ name: method, content: source, etag: etagOf(source), writer: from },
    run: async (barrier) => {
      barrier.arrive()
      await barrier.open
      return gateway.request({ method, path: from, user: 'alice', headers: { Destination: path, Overwrite: 'F' } })
    },
  }
}

const byDelete = (path: string, door: 's3' | 'http', condition: Condition): Contender => ({
  ...{ name: `${door} DELETE`, content: undefined },
  run: async (barrier) => {
    barrier.arrive()
    await barrier.open
    const sent = { method: 'DELETE', path, user: 'alice' } as const
    return door === 's3'
      ? gateway.s3({ ...sent, headers: condition.s3 })
      : gateway.request({ ...sent, headers: condition.http })
  },
})

function repeat<T>(times: number, make: (index: number) => T): T[] {
  return Array.from({ length: times }, (_, index) => make(index))
}

async function requireOne(t: Test, path: string, round: number, all: readonly Contender[]): Promise<string> {
  const barrier = new Barrier(all.length)
  const answers = await Promise.all(all.map((one) => one.run(barrier)))
  const won = all.filter((_, index) => (answers[index]?.status ?? 500) < 300)
  const losers = new Set(answers.filter(({ status }) => status >= 300).map(codeOf))
  const isGone = won.some(({ content }) => content === undefined)
  // To S3 it is no error to remove what somebody else has removed (API Reference, DeleteObject).
  const removed = won.find(({ name }) => name === 'http DELETE') ?? won.find(({ name }) => name === 's3 DELETE')
  const winners = won.filter((one) => one === removed || one.name !== 's3 DELETE')
  const [winner] = winners
  // HTTP tells the status alone. Once the object is gone there is none whose ETag could be looked at.
  const gone = isGone ? ['NoSuchKey', '404'] : []
  const allowed = new Set(['PreconditionFailed', 'ConditionalRequestConflict', '412', ...gone])
  const { status, text, headers } = await gateway.s3({ path, user: 'alice' })
  const what = `round ${round}: ${winners.map(({ name }) => name).join()}`
  t.equal(winners.length, 1, what)
  t.same(
    [...losers].filter((code) => !allowed.has(code)),
    [],
    what,
  )
  t.equal(status, isGone ? 404 : 200, what)
  if (isGone) return removed?.name ?? ''
  t.equal(text, winner?.content, what)
  t.equal(headers['x-amz-meta-writer'], winner?.writer, what)
  if (winner?.etag) t.equal(headers.etag, winner.etag, what)
  else t.match(headers.etag, /^"[^"]*-[^"]*"$/, what)
  return winner?.name ?? ''
}

t.test('of writers of all doors of a new object exactly one makes it', { timeout: 280_000 }, async (t) => {
  const condition = { s3: { 'if-none-match': '*' }, http: { 'if-none-match': '*' } }
  const won = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    const path = `${base}/new-${round}`
    const name = (index: number, kind: string) => `${kind} ${index} of round ${round}`
    const all = [
      ...repeat(12, (index) => byS3(path, name(index, 's3'), condition)),
      ...repeat(8, (index) => byHttp(path, name(index, 'http'), condition)),
      ...repeat(2, (index) => byResumable(path, name(index, 'resumable'), condition)),
      ...(await Promise.all(repeat(6, (index) => byParts(path, name(index, 'parts'), condition)))),
      ...(await Promise.all(repeat(2, (index) => byTransfer(path, `${base}/copied-${index}`, 'COPY')))),
      ...(await Promise.all(repeat(2, (index) => byTransfer(path, `${base}/moved-${index}`, 'MOVE')))),
    ]
    won.add(await requireOne(t, path, round, all))
  }
  t.comment(`won: ${[...won].join(', ')}`)
})

t.test('of changes by all doors of one version exactly one is made', { timeout: 280_000 }, async (t) => {
  const path = `${base}/changing`
  const won = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    const put = await gateway.s3({ method: 'PUT', path, user: 'alice', body: `begin ${round}` })
    const seen = await gateway.request({ method: 'HEAD', path, user: 'alice' })
    const condition = { s3: { 'if-match': String(put.headers.etag) }, http: { 'if-match': String(seen.headers.etag) } }
    const name = (index: number, kind: string) => `${kind} ${index} of round ${round}`
    const all = [
      ...repeat(12, (index) => byS3(path, name(index, 's3'), condition)),
      ...repeat(8, (index) => byHttp(path, name(index, 'http'), condition)),
      ...repeat(2, (index) => byResumable(path, name(index, 'resumable'), condition)),
      ...(await Promise.all(repeat(6, (index) => byParts(path, name(index, 'parts'), condition)))),
      ...repeat(2, () => byDelete(path, 's3', condition)),
      ...repeat(2, () => byDelete(path, 'http', condition)),
    ]
    won.add(await requireOne(t, path, round, all))
  }
  t.comment(`won: ${[...won].join(', ')}`)
})

t.test('readers see the bytes of one writer with its metadata, and tags stay with theirs', async (t) => {
  const path = `${base}/both`
  const content = (round: number) => `${round} `.repeat(2000 + round)
  const put = (round: number) => {
    const headers = { 'x-amz-meta-round': String(round), 'x-amz-tagging': `round=${round}` }
    return gateway.s3({ method: 'PUT', path, user: 'alice', body: content(round), headers })
  }
  await put(0)
  let writing = true
  const writer = async () => {
    for (let round = 1; round <= 150; round++) t.equal((await put(round)).status, 200)
    writing = false
  }
  const tags = '<Tagging><TagSet><Tag><Key>late</Key><Value>x</Value></Tag></TagSet></Tagging>'
  const headers = { 'content-md5': createHash('md5').update(tags).digest('base64') }
  const tagger = async () => {
    const codes = new Set<string>()
    while (writing) {
      codes.add(
        codeOf(await gateway.s3({ method: 'PUT', path: `${path}?tagging`, user: 'alice', body: tags, headers })),
      )
    }
    return codes
  }
  const wrong: string[] = []
  let reads = 0
  const reader = async () => {
    while (writing) {
      const { status, text, headers } = await gateway.s3({ path, user: 'alice' })
      const round = Number(headers['x-amz-meta-round'])
      const isRight = status === 200 && text === content(round) && headers.etag === etagOf(text)
      if (!isRight) wrong.push(`${status} ${round} ${headers.etag} ${text.slice(0, 8)} ${text.length}`)
      reads++
    }
  }
  const [, codes] = await Promise.all([writer(), tagger(), reader(), reader(), reader()])
  t.same(wrong, [], `${reads} reads`)
  t.same(
    [...codes].filter((code) => code !== '200' && code !== 'ConditionalRequestConflict'),
    [],
  )
  const clean = () => leftovers(gateway, gateway.tree('/lab')).length === 0
  await eventually(clean, 5000, 'something is left')
  t.notOk(readdirSync(join(gateway.tree('/lab'), 'alice')).some((name) => name.startsWith('.')))
})
