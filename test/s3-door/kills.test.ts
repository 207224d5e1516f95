/** kill -9 of one process or all of them at any moment: no partial object, no acknowledged part lost, nothing left. */

import { randomInt } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { stagingPrefix } from '../../backends/posix/options.ts'
import { leftovers, letAge } from '../faults/leftovers.ts'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import type { Answer } from '../gateway/http.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { beginUpload, codeOf, completeUpload, etagOf, etagOfParts, sendPart, type Upload } from './racing.ts'

t.setTimeout(290_000)

/** Of each kind; in every other one all processes are killed. */
const rounds = 6
const megabyte = 1024 ** 2

const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
  s3: { buckets: { lab: '/lab' } },
})
const directory = join(gateway.tree('/lab'), 'alice')

/** In turn one worker, in whose place the supervisor puts another one, and everything. */
async function kill(round: number): Promise<string> {
  if (round % 2 === 0) {
    await gateway.kill9()
    await gateway.start()
    return 'all'
  }
  const workers = gateway.pids().filter((pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8') === '')
  const victim = workers[randomInt(workers.length)] ?? -1
  process.kill(victim, 'SIGKILL')
  const replaced = () => !gateway.pids().includes(victim) && gateway.pids().length > workers.length
  await eventually(replaced, 20_000, 'no other worker came')
  return 'a worker'
}

/** Of an answer that did not come. */
const none: Pick<Answer, 'status' | 'headers' | 'text'> = { status: 0, headers: {}, text: '' }

/** A kill while these are being answered, at some moment of what they usually take. */
async function killDuring<T extends Promise<Answer>>(t: Test, round: number, usual: number, sent: readonly T[]) {
  const answers = sent.map((one) => one.catch(() => none))
  const delay = randomInt(Math.max(2, Math.round(usual * 1.2)))
  await sleep(delay)
  const victim = await kill(round)
  const all = await Promise.all(answers)
  t.comment(`round ${round}: ${victim} after ${delay} ms: ${all.map(({ status }) => status).join()}`)
  return all
}

/** As a client does: a process that is being replaced may have taken the connection. */
async function insist(ask: () => Promise<Answer>): Promise<Answer> {
  let answer: Answer | undefined
  await eventually(
    async () => {
      answer = await ask().catch(() => undefined)
      return answer !== undefined && answer.status < 500
    },
    30_000,
    'no answer',
  )
  if (!answer) throw new Error('no answer')
  return answer
}

const contentOf = (what: string, size: number) => Buffer.alloc(size, `${what}. `)

t.test('PutObject: the object is as before or the new one, with what belongs to it', async (t) => {
  const sizes = [100, 3000, 700_000, 12 * megabyte]
  const path = (index: number) => `/lab/alice/put-${index}`
  const content = (index: number, round: number) => contentOf(`object ${index} of round ${round}`, sizes[index] ?? 0)
  const put = (index: number, round: number) => {
    const headers = { 'x-amz-meta-round': String(round) }
    return gateway.s3({ method: 'PUT', path: path(index), user: 'alice', body: content(index, round), headers })
  }
  const putAll = (round: number) => sizes.map((_, index) => put(index, round))
  await Promise.all(putAll(0))
  const began = performance.now()
  await Promise.all(putAll(0))
  const usual = performance.now() - began
  const last = sizes.map(() => 0)
  for (let round = 1; round <= rounds; round++) {
    const answers = await killDuring(t, round, usual, putAll(round))
    for (const index of sizes.keys()) {
      const { status, body, headers } = await insist(() => gateway.s3({ path: path(index), user: 'alice' }))
      const found = Number(headers['x-amz-meta-round'])
      const what = `round ${round}, object ${index}`
      t.equal(status, 200, what)
      if (answers[index]?.status === 200) t.equal(found, round, `${what}: what was confirmed is there`)
      else t.ok(found === round || found === last[index], `${what}: old or new, not ${found}`)
      t.ok(body.equals(content(index, found)), `${what}: the bytes that belong to its metadata`)
      t.equal(headers.etag, etagOf(content(index, found)), what)
      last[index] = found
    }
  }
})

/** What is acknowledged, by number. */
type Parts = Map<number, string>

async function listParts({ path, id }: Upload): Promise<Parts> {
  const { status, text } = await insist(() => gateway.s3({ path: `${path}?uploadId=${id}`, user: 'alice' }))
  if (status !== 200) throw new Error(`ListParts: ${status} ${text}`)
  const found = text.matchAll(/<PartNumber>(\d+)<\/PartNumber>.*?<ETag>(?:"|&quot;|&#34;)(\w+)/gs)
  return new Map(Array.from(found, ([, number, etag]) => [Number(number), `"${etag}"`]))
}

/** Nobody hears of what is not finished, on any door. */
async function requireHidden(t: Test, key: string): Promise<void> {
  const names = readdirSync(directory).filter((name) => name.startsWith(stagingPrefix))
  t.ok(names.length > 0, 'there is a draft')
  t.notOk(existsSync(join(directory, key)))
  const listed = await gateway.s3({ path: '/lab/?list-type=2&prefix=alice/', user: 'alice' })
  const seen = await gateway.request({ path: '/lab/alice/', user: 'alice', headers: { Accept: 'application/json' } })
  const found = await gateway.request({ method: 'PROPFIND', path: '/lab/alice/', user: 'alice', headers: { Depth: 1 } })
  for (const { status, text } of [listed, seen, found]) {
    t.ok(status < 300)
    t.notMatch(text, stagingPrefix)
    t.notMatch(text, `alice/${key}<`)
  }
  for (const name of names) {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      const path = `/lab/alice/${name}`
      const body = method === 'PUT' ? 'x' : ''
      t.ok((await gateway.s3({ method, path, user: 'alice', body })).status >= 400 || method === 'DELETE', method)
      t.ok((await gateway.request({ method, path, user: 'alice', body })).status >= 400, method)
    }
  }
  t.same(
    readdirSync(directory).filter((name) => name.startsWith(stagingPrefix)),
    names,
  )
}

t.test('UploadPart: what was acknowledged stays, and is what was sent', async (t) => {
  const key = 'parts'
  const upload = await beginUpload(gateway, 'alice', `/lab/alice/${key}`, { 'x-amz-meta-a': 'b' })
  const numbers = [1, 2, 3, 4, 5]
  const contents = new Map<string, Buffer>()
  const send = (number: number, round: number) => {
    // Of several sizes, so that some do not fit where they belong.
    const content = contentOf(`part ${number} of round ${round}`, 5 * megabyte + (round % 3) * number)
    contents.set(etagOf(content), content)
    return { etag: etagOf(content), answer: sendPart(gateway, 'alice', upload, number, content) }
  }
  const began = performance.now()
  const first = send(1, 0)
  t.equal((await first.answer).status, 200)
  const usual = performance.now() - began
  let known: Parts = new Map([[1, first.etag]])
  for (let round = 1; round <= rounds; round++) {
    const chosen = numbers.filter((number) => (number + round) % 2 === 0)
    const sent = chosen.map((number) => send(number, round))
    const pending = sent.map(({ answer }) => answer)
    const answers = await killDuring(t, round, usual, pending)
    const now = await listParts(upload)
    for (const number of numbers) {
      const at = chosen.indexOf(number)
      const etag = sent[at]?.etag
      const what = `round ${round}, part ${number}`
      if (answers[at]?.status === 200) t.equal(now.get(number), etag, `${what}: what was acknowledged is there`)
      else t.ok([known.get(number), etag].includes(now.get(number)), `${what}: as before, or the new one`)
    }
    known = now
  }
  await requireHidden(t, key)
  for (const number of numbers.filter((one) => !known.has(one))) {
    const { etag, answer } = send(number, 99)
    t.equal((await answer).status, 200)
    known.set(number, etag)
  }
  const etags = numbers.map((number) => known.get(number) ?? '')
  const whole = etags.map((etag) => contents.get(etag) ?? Buffer.of())
  t.equal(codeOf(await insist(() => completeUpload(gateway, 'alice', upload, etags))), '200')
  const { body, headers } = await gateway.s3({ path: upload.path, user: 'alice' })
  t.ok(body.equals(Buffer.concat(whole)), 'every byte of every part')
  t.equal(headers.etag, etagOfParts(whole))
  t.equal(headers['x-amz-meta-a'], 'b')
})

t.test('CompleteMultipartUpload: nothing or all of it, and who repeats it is told', async (t) => {
  let usual = 0
  for (let round = 0; round <= rounds; round++) {
    const key = `whole-${round}`
    const upload = await beginUpload(gateway, 'alice', `/lab/alice/${key}`, { 'x-amz-meta-round': String(round) })
    // In pairs of rounds the parts are not where they belong, and have to be copied.
    const isOdd = round % 4 >= 2
    const parts = [1, 2, 3].map((number) => {
      return contentOf(`part ${number} of round ${round}`, 5 * megabyte + (isOdd ? number * 1000 : 0))
    })
    for (const at of isOdd ? [2, 0, 1] : [0, 1, 2]) {
      const answer = await insist(() => sendPart(gateway, 'alice', upload, at + 1, parts[at] ?? ''))
      t.equal(answer.status, 200)
    }
    if (isOdd) await insist(() => sendPart(gateway, 'alice', upload, 9, 'not chosen'))
    const complete = () => completeUpload(gateway, 'alice', upload, parts.map(etagOf))
    const whole = Buffer.concat(parts)
    const requireNothingOrAll = () => {
      if (existsSync(join(directory, key))) t.ok(readFileSync(join(directory, key)).equals(whole), 'all of it')
    }
    if (round === 0) {
      const began = performance.now()
      t.equal((await complete()).status, 200)
      usual = performance.now() - began
    } else {
      const [answer = none] = await killDuring(t, round, usual, [complete()])
      requireNothingOrAll()
      t.ok(answer.status === 200 || answer.status === 0 || answer.status === 503, String(answer.status))
      if (answer.status === 200) t.ok(existsSync(join(directory, key)), 'what was confirmed is there')
    }
    for (const time of ['again', 'once more']) {
      const answer = await insist(complete)
      t.equal(codeOf(answer), '200', `round ${round} ${time}`)
      t.match(answer.text, etagOfParts(parts).slice(1, -1))
    }
    const { body, headers } = await gateway.s3({ path: upload.path, user: 'alice' })
    t.ok(body.equals(whole))
    t.equal(headers.etag, etagOfParts(parts))
    t.equal(headers['x-amz-meta-round'], String(round))
    t.match((await gateway.s3({ path: '/lab/?uploads', user: 'alice' })).text, /^((?!<Upload>).)*$/s, 'none is open')
  }
})

t.test('what nobody finishes is listed, and taken away in time with all that the dead have left', async (t) => {
  const upload = await beginUpload(gateway, 'alice', '/lab/alice/left')
  t.equal((await sendPart(gateway, 'alice', upload, 1, 'part')).status, 200)
  t.match((await gateway.s3({ path: '/lab/?uploads', user: 'alice' })).text, `<UploadId>${upload.id}</UploadId>`)
  await gateway.kill9()
  expire(gateway)
  letAge(gateway)
  await gateway.start()
  const clean = () => leftovers(gateway, gateway.tree('/lab')).length === 0
  await eventually(clean, 20_000, 'something is left').catch(() => {})
  t.same(leftovers(gateway, gateway.tree('/lab')), [])
  t.equal(codeOf(await completeUpload(gateway, 'alice', upload, [etagOf('part')])), 'NoSuchUpload')
  t.match((await gateway.s3({ path: '/lab/?uploads', user: 'alice' })).text, /^((?!<Upload>).)*$/s)
})

/** Call it while no process of the gateway is alive. */
function expire({ directory }: TestGateway): void {
  const database = new DatabaseSync(join(directory, 'state/state.sqlite'), { timeout: 5000 })
  try {
    database.exec('UPDATE uploads SET expires = 1')
  } finally {
    database.close()
  }
}
