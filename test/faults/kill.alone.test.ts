/** kill -9 of all processes at any moment of an upload: old or new content, never a mixture, and no rubbish. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { leftovers, letAge } from './leftovers.ts'

t.setTimeout(300_000)

const rounds = 15
/** No round begins after this many ms, however slow the machine. */
const enough = 60_000

interface Target {
  readonly name: string
  readonly size: number
  /** Without a Content-Length. */
  readonly chunked?: true
  /** Another name in every round, so that it is made and not replaced. */
  readonly fresh?: true
}

const targets: readonly Target[] = [
  { name: 'big', size: 12 * 1024 * 1024 },
  { name: 'middle', size: 700_000 },
  { name: 'chunked', size: 3_000_000, chunked: true },
  { name: 'small', size: 100 },
  { name: 'fresh', size: 2_000_000, fresh: true },
]

/** Content of a round: all of one byte and of a length of its own, so that any mixture shows. */
function contentOf({ size }: Target, round: number): Buffer {
  return Buffer.alloc(size + round, 97 + (round % 26))
}

function fileOf(target: Target, round: number): string {
  return target.fresh ? `${target.name}-${round}` : target.name
}

async function upload(gateway: TestGateway, target: Target, round: number): Promise<number> {
  const content = contentOf(target, round)
  const body = target.chunked ? Readable.from([content.subarray(0, 1_000_000), content.subarray(1_000_000)]) : content
  try {
    return (await gateway.request({ method: 'PUT', path: `/lab/alice/${fileOf(target, round)}`, user: 'alice', body }))
      .status
  } catch {
    // The connection died with the gateway: whether the upload was done is for the disk to say.
    return 0
  }
}

/** The round whose content is on disk in full; undefined where there is no file, NaN for anything else. */
function roundOnDisk(tree: string, target: Target, round: number): number | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(join(tree, 'alice', fileOf(target, round)))
  } catch {
    return undefined
  }
  const found = bytes.length - target.size
  return bytes.equals(contentOf(target, Math.max(found, 0))) ? found : Number.NaN
}

t.test('a gateway killed while it writes leaves old or new content', { timeout: 240_000 }, async (t) => {
  const gateway = await startTestGateway(t, {
    workers: 2,
    mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
  })
  const tree = gateway.tree('/lab')
  const started = performance.now()
  t.same(
    await Promise.all(targets.map((target) => upload(gateway, target, 0))),
    targets.map(() => 201),
  )
  const usual = performance.now() - started
  const last = new Map<string, number>(targets.map(({ name }) => [name, 0]))
  for (let round = 1; round <= rounds && performance.now() - started < enough; round++) {
    const delay = Math.random() * usual * 1.1
    const uploads = Promise.all(targets.map((target) => upload(gateway, target, round)))
    await sleep(delay)
    await gateway.kill9()
    const statuses = await uploads
    for (const [index, target] of targets.entries()) {
      const found = roundOnDisk(tree, target, round)
      const before = target.fresh ? undefined : last.get(target.name)
      const was = `round ${round}, killed after ${delay.toFixed(1)} ms, ${target.name}`
      const isDone = (statuses[index] ?? 0) >= 200 && (statuses[index] ?? 0) < 300
      if (isDone) t.equal(found, round, `${was}: what was confirmed is there`)
      else t.ok(found === before || found === round, `${was}: old or new, not ${String(found)}`)
      if (found !== undefined && !target.fresh) last.set(target.name, found)
    }
    await gateway.start()
    for (const target of targets) {
      const { status, body } = await gateway.get(`/lab/alice/${fileOf(target, round)}`, 'alice')
      const onDisk = roundOnDisk(tree, target, round)
      t.equal(status, onDisk === undefined ? 404 : 200, `round ${round}: ${target.name} is served after the restart`)
      if (onDisk !== undefined) t.ok(body.equals(contentOf(target, onDisk)), 'as it is on disk')
    }
    t.equal(
      await upload(gateway, { ...(targets[3] ?? { name: 'small', size: 100 }), name: 'after' }, round),
      round === 1 ? 201 : 204,
      'and can be written',
    )
  }
  await gateway.kill9()
  t.comment(`before the sweep: ${leftovers(gateway, tree).join(', ') || 'nothing'}`)
  letAge(gateway)
  await gateway.start()
  const clean = () => leftovers(gateway, tree).length === 0
  await eventually(clean, 20_000, 'the sweep did not remove what was left').catch(() => {})
  t.same(leftovers(gateway, tree), [], 'no hidden name, no row of the journal')
})
