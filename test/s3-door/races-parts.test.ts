/** Completions, aborts and parts of one upload that meet, over two processes; and a process that sleeps through it all. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { stagingPrefix } from '../../backends/posix/options.ts'
import { stateFile } from '../../gateway/state/open.ts'
import { leftovers, openFiles } from '../faults/leftovers.ts'
import { startTestGateway } from '../gateway/harness.ts'
import type { Answer } from '../gateway/http.ts'
import { eventually, familyOf } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { beginUpload, codeOf, completeUpload, etagOf, etagOfParts, sendPart, type Upload } from './racing.ts'

t.setTimeout(240_000)

const megabyte = 1024 ** 2

const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
  s3: { buckets: { lab: '/lab' } },
})
const tree = gateway.tree('/lab')

const contentOf = (what: string, size = 5 * megabyte) => Buffer.alloc(size, `${what}. `)

async function begin(t: Test, name: string, parts: readonly Buffer[]): Promise<Upload> {
  const upload = await beginUpload(gateway, 'alice', `/lab/alice/${name}`)
  const sent = await Promise.all(parts.map((part, at) => sendPart(gateway, 'alice', upload, at + 1, part)))
  t.same(new Set(sent.map(({ status }) => status)), new Set([200]))
  return upload
}

function complete(upload: Upload, parts: readonly Buffer[]): Promise<Answer> {
  return completeUpload(gateway, 'alice', upload, parts.map(etagOf))
}

function abort({ path, id }: Upload): Promise<Answer> {
  return gateway.s3({ method: 'DELETE', path: `${path}?uploadId=${id}`, user: 'alice' })
}

async function read({ path }: Upload): Promise<Answer> {
  return gateway.s3({ path, user: 'alice' })
}

t.test('of completions of one upload at once all are told the same', async (t) => {
  for (let round = 0; round < 30; round++) {
    const parts = [contentOf(`round ${round}`, 1000)]
    const upload = await begin(t, `same-${round}`, parts)
    const answers = await Promise.all(Array.from({ length: 8 }, () => complete(upload, parts)))
    t.same(new Set(answers.map(codeOf)), new Set(['200']))
    const etag = etagOfParts(parts).slice(1, -1)
    t.ok(answers.every(({ text }) => text.includes(etag)))
    t.ok((await read(upload)).body.equals(Buffer.concat(parts)))
  }
})

t.test('an abort and a completion: one of them comes first', async (t) => {
  const outcomes = new Set<string>()
  for (let round = 0; round < 20; round++) {
    const parts = [contentOf(`round ${round}`, 1000)]
    const upload = await begin(t, `either-${round}`, parts)
    const [ended, made] = await Promise.all([
      sleep(round % 4).then(() => abort(upload)),
      sleep(round % 3).then(() => complete(upload, parts)),
    ])
    const outcome = `${codeOf(ended)} ${codeOf(made)}`
    outcomes.add(outcome)
    const { status, body } = await read(upload)
    if (made.status === 200) t.ok(body.equals(Buffer.concat(parts)), outcome)
    else t.equal(status, 404, outcome)
    t.ok(['204 NoSuchUpload', 'NoSuchUpload 200', '204 SlowDown', 'SlowDown 200'].includes(outcome), outcome)
  }
  t.comment([...outcomes].join(', '))
})

t.test(
  'a part that is sent again while the upload is completed: the object is what the completion named',
  async (t) => {
    const outcomes = new Set<string>()
    for (let round = 0; round < 15; round++) {
      const parts = [1, 2].map((number) => contentOf(`part ${number} of round ${round}`))
      const again = contentOf(`part 1 again in round ${round}`)
      const upload = await begin(t, `again-${round}`, parts)
      const [part, made] = await Promise.all([
        sendPart(gateway, 'alice', upload, 1, again),
        sleep((round % 5) * 15).then(() => complete(upload, parts)),
      ])
      const outcome = `${codeOf(part)} ${codeOf(made)}`
      outcomes.add(outcome)
      t.ok(['200', 'SlowDown', 'NoSuchUpload'].includes(codeOf(part)), outcome)
      if (made.status === 200) {
        t.ok((await read(upload)).body.equals(Buffer.concat(parts)), outcome)
      } else {
        // The part was acknowledged before, and is another one now.
        t.equal(outcome, '200 InvalidPart')
        const now = [again, ...parts.slice(1)]
        t.equal(codeOf(await complete(upload, now)), '200')
        t.ok((await read(upload)).body.equals(Buffer.concat(now)))
      }
    }
    t.comment([...outcomes].join(', '))
  },
)

/** Stops a process while it is not writing to the state store, which would keep all others from it. */
async function stopOutside(pid: number): Promise<void> {
  const state = new DatabaseSync(join(gateway.directory, 'state', stateFile), { timeout: 200 })
  try {
    for (;;) {
      process.kill(pid, 'SIGSTOP')
      try {
        state.exec('BEGIN IMMEDIATE; ROLLBACK')
        return
      } catch {
        process.kill(pid, 'SIGCONT')
        await sleep(20)
      }
    }
  } finally {
    state.close()
  }
}

t.test('a process that was stopped in the middle of a part does no harm when it goes on', async (t) => {
  const parts = [1, 2].map((number) => contentOf(`part ${number}`))
  const upload = await begin(t, 'asleep', parts)
  const body = new Readable({ read() {} })
  const path = `${upload.path}?partNumber=1&uploadId=${upload.id}`
  const headers = { 'content-length': String(5 * megabyte) }
  const sending = gateway
    .s3({ method: 'PUT', path, user: 'alice', body, headers, timeout: 120_000 })
    .catch(() => undefined)
  body.push(contentOf('harm', megabyte))
  const [name = ''] = readdirSync(join(tree, 'alice')).filter((one) => one.startsWith(stagingPrefix))
  const draft = join(tree, 'alice', name)
  await eventually(() => openFiles(gateway, draft).length > 0, 10_000, 'the draft is not open')
  const workers = familyOf(gateway.pid).filter((pid) => openFiles({ pids: () => [pid] }, draft).length > 0)
  t.equal(workers.length, 1)
  const [asleep = -1] = workers
  await stopOutside(asleep)
  t.teardown(() => {
    try {
      process.kill(asleep, 'SIGCONT')
    } catch {
      // It was replaced.
    }
  })
  body.push(contentOf('harm', 4 * megabyte))
  body.push(null)
  const patient = (ask: () => Promise<Answer>) => {
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const attempt = async () => {
      const answer = await Promise.race([ask().catch(() => undefined), sleep(3000)])
      if (answer === undefined || answer.status >= 500) return false
      resolve(answer)
      return true
    }
    return eventually(attempt, 60_000, 'no answer').then(() => promise)
  }
  const made = await patient(() => complete(upload, parts))
  t.equal(codeOf(made), '200')
  const whole = Buffer.concat(parts)
  t.ok((await patient(() => read(upload))).body.equals(whole))
  process.kill(asleep, 'SIGCONT')
  t.not((await sending)?.status, 200, 'the part came too late')
  const { body: now, headers: told } = await patient(() => read(upload))
  t.ok(now.equals(whole), 'nothing was written into what is visible')
  t.equal(told.etag, etagOfParts(parts))
  await eventually(() => leftovers(gateway, tree).length === 0, 20_000, 'something is left').catch(() => {})
  t.same(leftovers(gateway, tree), [])
})
