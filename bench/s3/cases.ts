/** The measurements of the S3 door, one function a topic. All requests are presigned, and wrk or curl send them. */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { inTurn, median, seconds, type Turns, wrk } from '../measure.ts'
import type { Figure } from '../report.ts'
import { presign, type S3Target } from './presign.ts'
import type { ServerName, Servers } from './servers.ts'

const execute = promisify(execFile)

export interface Stage {
  readonly work: string
  readonly targets: Servers['targets']
  /** Of the gateway's supervisor. */
  readonly pid: number
}

type Run = (name: ServerName, target: S3Target) => Promise<number>
type Goal = readonly [ours: ServerName, peer: ServerName, atLeast: number | undefined]

const mebibyte = 1024 ** 2
const smallSize = 4096
const bigSize = 64 * mebibyte
const partSize = 8 * mebibyte
const streams = 8

/** PUT of new 4 KiB objects, 32 at a time: requests a second. */
export async function smallPuts(stage: Stage): Promise<Figure[]> {
  let round = 0
  const run: Run = async (name, target) => {
    round++
    // More than any server takes in the time.
    const urls = Array.from({ length: 40_000 }, (_, at) => presign('PUT', target, `put-${round}/${at % 100}-${at}`))
    return load(stage, name, 'PUT', urls, 32)
  }
  const turns = await everyServer(stage, run, { rounds: 3, warm: 2 })
  return figures('PUT 4 KiB, 32 at a time', turns, [
    ['unsynced', 'versitygw', 1],
    ['portolan', 'minio', undefined],
    ['portolan', 'versitygw', undefined],
  ])
}

/** GET of 1,000 objects of 4 KiB, 32 at a time: requests a second. */
export async function smallGets(stage: Stage): Promise<Figure[]> {
  const names = Array.from({ length: 1000 }, (_, at) => `get/${at}`)
  await eachServer(stage, async (_, target) => {
    for (const name of names) await put(target, name, Buffer.alloc(smallSize, name))
  })
  const run: Run = (name, target) =>
    load(
      stage,
      name,
      'GET',
      names.map((each) => presign('GET', target, each)),
      32,
    )
  return figures('GET 4 KiB, 32 at a time', await everyServer(stage, run, { rounds: 3, warm: 2 }), [
    ['portolan', 'versitygw', 1],
    ['portolan', 'minio', undefined],
  ])
}

/** PUT of 64 MiB objects, 8 at a time: bytes a second. */
export async function bigPuts(stage: Stage): Promise<Figure[]> {
  const file = fileOf(stage, 'big', bigSize)
  const each = 2
  const run: Run = async (_, target) => {
    const urls = (stream: number) =>
      Array.from({ length: each }, (_, at) => presign('PUT', target, `big/${stream}-${at}`))
    return (streams * each * bigSize) / (await upload(file, urls))
  }
  return figures('PUT 64 MiB, 8 at a time', await everyServer(stage, run, { rounds: 3 }), [
    ['unsynced', 'versitygw', 1],
    ['portolan', 'minio', 1],
    ['portolan', 'versitygw', undefined],
  ])
}

/** GET of the same objects, 8 at a time: bytes a second. */
export async function bigGets(stage: Stage): Promise<Figure[]> {
  const names = Array.from({ length: streams }, (_, at) => `got/${at}`)
  const file = fileOf(stage, 'big', bigSize)
  await eachServer(stage, async (_, target) => {
    await upload(file, (stream) => [presign('PUT', target, names[stream] ?? '')])
  })
  const run: Run = async (name, target) => {
    const urls = names.map((each) => presign('GET', target, each))
    return (await loadOf(stage, name, 'GET', urls, streams)).bytesPerSecond
  }
  return figures('GET 64 MiB, 8 at a time', await everyServer(stage, run, { rounds: 2 }), [
    ['portolan', 'versitygw', 1],
    ['portolan', 'minio', 1],
  ])
}

/** CompleteMultipartUpload of 8 MiB parts: milliseconds, of 80 MiB and of 5 GiB. */
export async function completions(stage: Stage): Promise<Figure[]> {
  const { targets } = stage
  const file = fileOf(stage, 'part', partSize)
  const found: Figure[] = []
  // The peers copy what they join: of 5 GiB that would take the disk and the time of all the rest.
  for (const [what, parts, rounds, servers] of [
    ['80 MiB', 10, 3, targets],
    ['5 GiB', 640, 1, targets.portolan ? { portolan: targets.portolan } : {}],
  ] as const) {
    const taken: Partial<Record<ServerName, number>> = {}
    await eachServer({ targets: servers }, async (name, target) => {
      const times: number[] = []
      for (let round = 0; round < rounds; round++) times.push(await completion(target, file, parts))
      taken[name] = median(times)
    })
    found.push({
      what: `CompleteMultipartUpload of ${what} in 8 MiB parts`,
      value: taken.portolan ?? Number.NaN,
      unit: 'ms',
      goal: { atMost: 100 },
      raw: taken,
    })
  }
  return found
}

async function completion(target: S3Target, file: Part, count: number): Promise<number> {
  const begun = await fetch(presign('POST', target, 'joined', { uploads: '' }), { method: 'POST' })
  const uploadId = /<UploadId>([^<]+)</.exec(await begun.text())?.[1] ?? ''
  const numbers = Array.from({ length: count }, (_, at) => at + 1)
  await upload(file, (stream) =>
    numbers
      .filter((number) => number % streams === stream)
      .map((number) => presign('PUT', target, 'joined', { partNumber: String(number), uploadId })),
  )
  const parts = numbers.map((number) => `<Part><PartNumber>${number}</PartNumber><ETag>"${file.md5}"</ETag></Part>`)
  const body = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
  const url = presign('POST', target, 'joined', { uploadId })
  const started = performance.now()
  const answer = await fetch(url, { method: 'POST', body })
  const text = await answer.text()
  const taken = performance.now() - started
  if (!answer.ok || text.includes('<Error>')) throw new Error(`not completed: ${answer.status} ${text}`)
  const length = (await fetch(presign('HEAD', target, 'joined'), { method: 'HEAD' })).headers.get('content-length')
  if (Number(length) !== count * file.size) throw new Error(`the object has ${length} bytes`)
  await fetch(presign('DELETE', target, 'joined'), { method: 'DELETE' })
  return taken
}

interface Part {
  readonly path: string
  readonly size: number
  readonly md5: string
}

function fileOf({ work }: Stage, name: string, size: number): Part {
  const bytes = Buffer.alloc(size, 'portolan')
  const path = `${work}/${name}`
  writeFileSync(path, bytes)
  return { path, size, md5: createHash('md5').update(bytes).digest('hex') }
}

/** Seconds that curls, one a stream, take to send the file to their URLs, from a disk that has nothing else to write. */
async function upload({ path }: Part, urlsOf: (stream: number) => readonly string[]): Promise<number> {
  await execute('sync')
  const curl = async (stream: number) => {
    const urls = urlsOf(stream)
    if (urls.length === 0) return
    const args = urls.flatMap((url) => ['-o', '/dev/null', '-T', path, url])
    await seconds('curl', '-sS', '--fail', '--fail-early', ...args)
  }
  const started = performance.now()
  await Promise.all(Array.from({ length: streams }, (_, stream) => curl(stream)))
  return (performance.now() - started) / 1000
}

async function put(target: S3Target, name: string, body: Uint8Array): Promise<void> {
  const answer = await fetch(presign('PUT', target, name), { method: 'PUT', body })
  await answer.arrayBuffer()
  if (!answer.ok) throw new Error(`not stored: ${answer.status}`)
}

/** Requests a second. */
async function load(stage: Stage, name: ServerName, method: 'GET' | 'PUT', urls: readonly string[], at: number) {
  return (await loadOf(stage, name, method, urls, at)).requestsPerSecond
}

async function loadOf(
  { work }: Stage,
  name: ServerName,
  method: 'GET' | 'PUT',
  urls: readonly string[],
  connections: number,
) {
  await execute('sync')
  const list = `${work}/${name}.urls`
  const { origin } = new URL(urls[0] ?? '')
  writeFileSync(list, urls.map((url) => url.slice(origin.length)).join('\n'))
  const script = `${work}/${name}.lua`
  writeFileSync(
    script,
    `local paths, n = {}, 0
for line in io.lines("${list}") do paths[#paths + 1] = line end
local body = ${method === 'PUT' ? `string.rep("portolan", ${smallSize / 8})` : 'nil'}
request = function()
  n = n % #paths + 1
  return wrk.format("${method}", paths[n], nil, body)
end\n`,
  )
  const result = await wrk(origin, { connections, seconds: 3, script })
  // A server may close a kept-alive connection under a request; more than one in a thousand is no figure.
  if (result.errors > result.requestsPerSecond / 200) throw new Error(`${name}: ${result.errors} errors`)
  return result
}

async function eachServer(
  { targets }: Pick<Stage, 'targets'>,
  work: (name: ServerName, target: S3Target) => Promise<void>,
) {
  for (const name of Object.keys(targets) as ServerName[]) {
    const target = targets[name]
    if (target) await work(name, target)
  }
}

async function everyServer(
  { targets }: Pick<Stage, 'targets'>,
  run: Run,
  options: { readonly rounds: number; readonly warm?: number },
) {
  const runs: Partial<Record<ServerName, () => Promise<number>>> = {}
  await eachServer({ targets }, async (name, target) => {
    runs[name] = () => run(name, target)
  })
  return inTurn(runs as Record<ServerName, () => Promise<number>>, options)
}

/** Against those peers that were there. */
function figures(what: string, { medians, ratio }: Turns<ServerName>, goals: readonly Goal[]): Figure[] {
  const found = goals
    .filter(([, peer]) => medians[peer] !== undefined)
    .map(([ours, peer, atLeast]) => ({
      what: `${what}, ${ours === 'unsynced' ? 'unsynced' : 'synced'}, against ${peer}`,
      value: ratio(ours, peer),
      unit: 'x',
      ...(atLeast !== undefined && { goal: { atLeast } }),
    }))
  const [first, ...others] = found
  return first ? [{ ...first, raw: medians }, ...others] : []
}
