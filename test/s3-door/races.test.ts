/** Writers with conditions, over two processes of one state store: one wins, and the object is what the winner sent. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { leftovers } from '../faults/leftovers.ts'
import { startTestGateway } from '../gateway/harness.ts'
import type { Answer } from '../gateway/http.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { Barrier, codeOf, etagOf, race } from './racing.ts'

t.setTimeout(300_000)

const writers = 32
const rounds = 200

const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
  s3: { buckets: { lab: '/lab' } },
})

const contentOf = (round: number, writer: number) => `writer ${writer} of round ${round}`

/** All of them at once, after all of them were told that they may. */
async function raceAll(path: string, round: number, condition: Readonly<Record<string, string>>): Promise<Answer[]> {
  const barrier = new Barrier(writers)
  const all = Array.from({ length: writers }, (_, writer) => {
    const headers = { ...condition, 'x-amz-meta-writer': String(writer), 'content-type': `text/x-writer-${writer}` }
    return race(gateway, 'alice', barrier, { door: 's3', path, content: contentOf(round, writer), headers })
  })
  return Promise.all(all)
}

/** Gives the winner's ETag. */
async function requireOne(t: Test, path: string, round: number, answers: readonly Answer[]): Promise<string> {
  const winners = answers.flatMap(({ status }, writer) => (status === 200 ? [writer] : []))
  const losers = new Set(answers.filter(({ status }) => status !== 200).map(codeOf))
  const refused = [...losers].filter((code) => code !== 'PreconditionFailed' && code !== 'ConditionalRequestConflict')
  const [winner = -1] = winners
  const content = contentOf(round, winner)
  const { status, text, headers } = await gateway.s3({ path, user: 'alice' })
  const found = {
    ...{ winners: winners.length, refused, status, text },
    ...{ etag: headers.etag, told: answers[winner]?.headers.etag },
    ...{ writer: headers['x-amz-meta-writer'], type: headers['content-type'] },
  }
  const etag = etagOf(content)
  const right = { winners: 1, refused: [], status: 200, text: content, etag, told: etag }
  const whole = { ...right, writer: String(winner), type: `text/x-writer-${winner}` }
  // One assertion a round where all is right: what failed is told in full.
  t.same(found, whole, `round ${round}`)
  return etag
}

t.test('of 32 writers of a new object exactly one makes it', { timeout: 280_000 }, async (t) => {
  for (let round = 0; round < rounds; round++) {
    const path = `/lab/alice/new-${round}`
    await requireOne(t, path, round, await raceAll(path, round, { 'if-none-match': '*' }))
  }
  t.equal(readdirSync(join(gateway.tree('/lab'), 'alice')).length, rounds)
})

t.test('of 32 writers with one ETag exactly one replaces the object', { timeout: 280_000 }, async (t) => {
  const path = '/lab/alice/changing'
  const first = await gateway.s3({ method: 'PUT', path, user: 'alice', body: 'first' })
  let etag = String(first.headers.etag)
  for (let round = 0; round < rounds; round++) {
    etag = await requireOne(t, path, round, await raceAll(path, round, { 'if-match': etag }))
  }
  const clean = () => leftovers(gateway, gateway.tree('/lab')).length === 0
  await eventually(clean, 5000, 'the losers left something')
})
