/**
 * The S3 door beside versitygw and MinIO, in one run on loopback, on one disk, with one client. versitygw leaves data to
 * the page cache, so it is held against a mount with `sync: never`; MinIO writes them out, as the gateway does by default.
 *
 * Figures are ratios of rounds in which every server takes its turn. A missed goal is printed, it does not fail the run.
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { type Figure, print } from './report.ts'
import { bigGets, bigPuts, completions, smallGets, smallPuts } from './s3/cases.ts'
import { listings } from './s3/listings.ts'
import { startServers } from './s3/servers.ts'

const work = resolve(import.meta.dirname, 'work-s3')
rmSync(work, { recursive: true, force: true })
mkdirSync(work, { recursive: true, mode: 0o755 })

const figures: Figure[] = []
const named = process.argv.slice(2)
const { targets, stop } = await startServers(work)
try {
  for (const [name, measure] of Object.entries({ smallPuts, smallGets, bigPuts, bigGets, completions, listings })) {
    if (named.length > 0 && !named.includes(name)) continue
    const found = await measure({ targets, work })
    figures.push(...found)
    print(found)
  }
} finally {
  await stop()
  rmSync(work, { recursive: true, force: true })
}

const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version }
mkdirSync(resolve(import.meta.dirname, 'results'), { recursive: true })
if (named.length === 0)
  writeFileSync(resolve(import.meta.dirname, 'results/s3.json'), `${JSON.stringify({ machine, figures }, null, 2)}\n`)
