/**
 * The HTTP door against nginx, Apache and rclone, side by side in one run, on loopback.
 *
 * Figures are ratios of medians over rounds in which every server takes its turn, so that a machine whose speed drifts
 * slows all of them. Goals stand beside the figures; a missed goal is printed, it does not fail the run.
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { downloads, listing, memoryOfDownloads, smallFiles, uploads } from './http/cases.ts'
import { prepare } from './http/data.ts'
import { startPortolan } from './http/portolan.ts'
import { apache, nginx, rcloneHttp, rcloneWebdav } from './peers.ts'
import type { Figure } from './report.ts'
import { print } from './report.ts'

const work = resolve(import.meta.dirname, 'work')
rmSync(work, { recursive: true, force: true })
mkdirSync(work, { recursive: true })

const data = prepare(work)
const figures: Figure[] = []
const portolan = await startPortolan(work, data)
const peers = {
  nginx: await nginx(work, data.tree),
  apache: await apache(work, data.tree),
  rcloneHttp: await rcloneHttp(work, data.tree),
  rcloneWebdav: await rcloneWebdav(work, data.tree),
}
try {
  const cases = { smallFiles, downloads, uploads, listing, memoryOfDownloads }
  const named = process.argv.slice(2)
  for (const [name, measure] of Object.entries(cases)) {
    if (named.length > 0 && !named.includes(name)) continue
    const found = await measure({ portolan, peers, data, work })
    figures.push(...found)
    print(found)
  }
} finally {
  await Promise.all([portolan.stop(), ...Object.values(peers).map((peer) => peer.stop())])
  rmSync(work, { recursive: true, force: true })
}

const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version }
mkdirSync(resolve(import.meta.dirname, 'results'), { recursive: true })
if (process.argv.length === 2)
  writeFileSync(resolve(import.meta.dirname, 'results/http.json'), `${JSON.stringify({ machine, figures }, null, 2)}\n`)
