/**
 * The S3 door beside versitygw and MinIO, in one run on loopback, on one disk, with one client. versitygw leaves data to
 * the page cache, so it is held against a mount with `sync: never`; MinIO writes them out, as the gateway does by default.
 *
 * Figures are ratios of rounds in which every server takes its turn. A missed goal is printed, it does not fail the run.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { type Figure, print } from './report.ts'
import { bigGets, bigPuts, completions, smallGets, smallPuts } from './s3/cases.ts'
import { listings } from './s3/listings.ts'
import { startServers } from './s3/servers.ts'

const cases = { smallPuts, smallGets, bigPuts, bigGets, completions, listings }
const named = process.argv.slice(2)
const unknown = named.find((name) => !Object.hasOwn(cases, name))
if (unknown !== undefined) {
  console.error(`no case ${unknown}; there are: ${Object.keys(cases).join(', ')}`)
  process.exit(2)
}

const work = resolve(import.meta.dirname, 'work-s3')
remove(work)
mkdirSync(work, { recursive: true, mode: 0o755 })

const figures: Figure[] = []
const { targets, pid, stop } = await startServers(work)
const end = async () => {
  await stop()
  remove(work)
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => void end().finally(() => process.exit(1)))
}
try {
  for (const [name, measure] of Object.entries(cases)) {
    if (named.length > 0 && !named.includes(name)) continue
    const started = performance.now()
    try {
      const found = await measure({ targets, work, pid })
      figures.push(...found)
      print(found)
    } catch (error) {
      // The others are figures all the same.
      console.error(`${name}: ${error instanceof Error ? error.message : error}`)
      process.exitCode = 1
    }
    console.log(`${name}: ${Math.round((performance.now() - started) / 1000)} s`)
    for (const data of ['tree', 'versitygw/bench', 'minio/bench']) empty(`${work}/${data}`)
  }
} finally {
  await end()
}

const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version }
mkdirSync(resolve(import.meta.dirname, 'results'), { recursive: true })
if (named.length === 0 && process.exitCode === undefined)
  writeFileSync(resolve(import.meta.dirname, 'results/s3.json'), `${JSON.stringify({ machine, figures }, null, 2)}\n`)

/** What a case has made is not for the next one, nor for the disk. What the servers keep for themselves begins with a dot. */
function empty(directory: string): void {
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory)) if (!name.startsWith('.')) remove(`${directory}/${name}`)
}

/** Quicker than Node for millions of files. */
function remove(path: string): void {
  execFileSync('rm', ['-rf', path])
}
