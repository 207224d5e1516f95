/**
 * Back ends beyond plain trees: bytes and listings of a dCache through the gateway against its own doors, and what
 * ACLs of GPFS cost. dCache and Storage Scale are stand-ins; what is measured is what the gateway adds to them.
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { type DcacheStage, startDcacheStage } from './backends/dcache.ts'
import { gpfsAcls } from './backends/gpfs.ts'
import { median, seconds } from './measure.ts'
import { type Figure, print } from './report.ts'

const work = resolve(import.meta.dirname, 'work-backends')
rmSync(work, { recursive: true, force: true })
mkdirSync(work, { recursive: true, mode: 0o755 })

/** Rounds that count, after those that only warm up: compilers, connections and what is known of the caller. */
interface Rounds {
  readonly warm: number
  readonly count: number
}

/** Two ways in turn: medians, and the best of each, which other work on the machine disturbs least. */
async function inTurn(direct: () => Promise<number>, through: () => Promise<number>, { warm, count }: Rounds) {
  const times: [number[], number[]] = [[], []]
  for (let round = 0; round < warm + count; round++) {
    const pair = [await direct(), await through()] as const
    if (round >= warm) for (const which of [0, 1] as const) times[which].push(pair[which])
  }
  const [best, bestThrough] = [Math.min(...times[0]), Math.min(...times[1])]
  return { direct: median(times[0]), through: median(times[1]), best, bestThrough }
}

async function download({ door, gateway, authorization, bigSize }: DcacheStage): Promise<Figure> {
  const curl = (url: string) => () => seconds('curl', '-sfL', '-H', authorization, '-o', '/dev/null', url)
  const ways = [curl(`${door}/big`), curl(`${gateway}/big`)] as const
  const { direct, through, best, bestThrough } = await inTurn(...ways, { warm: 2, count: 9 })
  return {
    what: 'dCache, GET of 1 GiB: through the gateway against curl from the pool',
    value: direct / through,
    unit: 'x',
    goal: { atLeast: 0.8 },
    raw: { 'direct B/s': bigSize / direct, 'gateway B/s': bigSize / through, 'of the best': best / bestThrough },
  }
}

async function propfind({ door, gateway, authorization, entries }: DcacheStage): Promise<Figure> {
  const ask = (url: string) => async () => {
    const headers = { authorization: authorization.replace('Authorization: ', ''), depth: '1' }
    const started = performance.now()
    const answer = await fetch(url, { method: 'PROPFIND', headers })
    const text = await answer.text()
    const found = text.match(/<[a-z]*:?response>/gi)?.length ?? 0
    if (answer.status !== 207 || found < entries) throw new Error(`${url}: ${answer.status}, ${found} entries`)
    return performance.now() - started
  }
  const ways = [ask(`${door}/many`), ask(`${gateway}/many/`)] as const
  const { direct, through, best, bestThrough } = await inTurn(...ways, { warm: 100, count: 101 })
  return {
    what: 'dCache, PROPFIND of 1,000 entries: through the gateway against the door',
    value: through / direct,
    unit: 'x',
    goal: { atMost: 1.3 },
    raw: { 'door ms': direct, 'gateway ms': through, 'of the best': bestThrough / best },
  }
}

const figures: Figure[] = []
const note = (found: readonly Figure[]) => {
  figures.push(...found)
  print(found)
}
/** Parts to measure; all without names. Only then the results are written. */
const named = process.argv.slice(2)
const wanted = (name: string) => named.length === 0 || named.includes(name)
try {
  if (wanted('dcache')) {
    const stage = await startDcacheStage(work)
    try {
      note([await download(stage)])
      note([await propfind(stage)])
    } finally {
      await stage.stop()
    }
  }
  if (wanted('gpfs')) note(await gpfsAcls(work))
} finally {
  rmSync(work, { recursive: true, force: true })
}
const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version }
const results = resolve(import.meta.dirname, 'results')
mkdirSync(results, { recursive: true })
if (named.length === 0) writeFileSync(`${results}/backends.json`, `${JSON.stringify({ machine, figures }, null, 2)}\n`)
