/** Listings of a million keys, flat and in 10,000 directories, in pages of 1,000, one page after the other. */

import { closeSync, mkdirSync, openSync, renameSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { text } from 'node:stream/consumers'
import { resident } from '../measure.ts'
import type { Figure } from '../report.ts'
import type { Stage } from './cases.ts'
import { presign, type S3Target } from './presign.ts'

/** A smaller number is for trying it out. */
const total = Number(process.env.BENCH_KEYS ?? 1_000_000)
const perDirectory = 100
const pageLength = 1000
/** versitygw reads and sorts the whole directory for each page: that many of them tell its speed. */
const peerPages = { flat: 10, deep: 50 } as const
const mebibyte = 1024 ** 2

type Shape = keyof typeof peerPages

/** Keys a second; versitygw is given the same files when the gateway has listed them. */
export async function listings({ work, targets, pid }: Stage): Promise<Figure[]> {
  const { portolan, versitygw } = targets
  if (!portolan) return []
  const tree = `${work}/tree/listed`
  fill(tree)
  // Directories that have just changed are not remembered.
  await new Promise((done) => setTimeout(done, 3000))
  const before = resident(pid)
  const ours = { flat: await speedOf(portolan, 'flat'), deep: await speedOf(portolan, 'deep') }
  const grown = (resident(pid) - before) / mebibyte
  if (versitygw) renameSync(tree, `${work}/versitygw/${versitygw.bucket}/listed`)
  const figures: Figure[] = []
  for (const shape of ['flat', 'deep'] as const) {
    const peers = versitygw && (await speedOf(versitygw, shape, peerPages[shape]))
    const what = `list ${total.toLocaleString('en')} keys, ${shape}, pages of 1,000`
    figures.push({ what, value: ours[shape], unit: 'keys/s' })
    if (peers === undefined) continue
    const raw = { portolan: ours[shape], versitygw: peers }
    figures.push({
      what: `${what}, against versitygw`,
      value: ours[shape] / peers,
      unit: 'x',
      goal: { atLeast: 2 },
      raw,
    })
  }
  return [...figures, { what: 'memory that listing took', value: grown, unit: 'MiB', goal: { atMost: 200 } }]
}

function fill(top: string): void {
  const touch = (file: string) => closeSync(openSync(file, 'w', 0o644))
  mkdirSync(`${top}/flat`, { recursive: true })
  for (let at = 0; at < total; at++) touch(`${top}/flat/object-${String(at).padStart(8, '0')}.dat`)
  for (let directory = 0; directory < total / perDirectory; directory++) {
    const path = `${top}/deep/directory-${String(directory).padStart(6, '0')}`
    mkdirSync(path, { recursive: true })
    for (let at = 0; at < perDirectory; at++) touch(`${path}/object-${at}.dat`)
  }
}

async function speedOf(target: S3Target, shape: Shape, mostPages = Number.POSITIVE_INFINITY): Promise<number> {
  const agent = new Agent({ keepAlive: true })
  const started = performance.now()
  let keys = 0
  let token: string | undefined
  try {
    for (let page = 0; page < mostPages; page++) {
      const more = token === undefined ? {} : { 'continuation-token': token }
      const asked = { 'list-type': '2', prefix: `listed/${shape}/`, 'max-keys': String(pageLength), ...more }
      const answer = await fetched(presign('GET', target, '', asked), agent)
      keys += answer.split('<Key>').length - 1
      token = /<NextContinuationToken>([^<]*)</.exec(answer)?.[1]
      if (token === undefined) break
    }
  } finally {
    agent.destroy()
  }
  if (token === undefined && keys !== total) throw new Error(`${shape}: ${keys} keys of ${total}`)
  return keys / ((performance.now() - started) / 1000)
}

function fetched(url: string, agent: Agent): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  get(url, { agent }, (response) => {
    text(response).then((body) => {
      if (response.statusCode === 200) resolve(body)
      else reject(new Error(`${response.statusCode} ${body.slice(0, 300)}`))
    }, reject)
  }).on('error', reject)
  return promise
}
