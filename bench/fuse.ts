/**
 * The mount beside `rclone mount` over WebDAV and s3fs, in one run on loopback, all of the same gateway, with curl for what
 * the wire gives. `npm run bench fuse [quick] [CASE...]`; the tree lies in memory where /dev/shm has the room, so that the
 * disk is not what is measured.
 *
 * A missed goal is printed, it does not fail the run.
 */

import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, openSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { cloning, listing, memory, random, sequential, writing } from './fuse/cases.ts'
import { makeKey, missingPrograms, stopMounts } from './fuse/mounts.ts'
import { startPortolan } from './http/portolan.ts'
import { type Figure, print } from './report.ts'

const cases = { sequential, random, writing, listing, cloning }
const words = process.argv.slice(2)
const isQuick = words.includes('quick')
const named = words.filter((word) => word !== 'quick')
const unknown = named.find((name) => !Object.hasOwn(cases, name))
if (unknown !== undefined) {
  console.error(`no case ${unknown}; there are: ${Object.keys(cases).join(', ')}`)
  process.exit(2)
}
const missing = missingPrograms()
if (missing.length > 0) {
  console.error(`this measurement needs ${missing.join(', ')} (apt install rclone s3fs fuse3 curl git)`)
  process.exit(2)
}

const { bavail, bsize } = statfsSync('/dev/shm')
const work =
  bavail * bsize > 12 * 2 ** 30 ? `/dev/shm/portolan-bench-${process.pid}` : resolve(import.meta.dirname, 'work-fuse')
const tree = `${work}/tree`
rmSync(work, { recursive: true, force: true })
mkdirSync(`${tree}/user/put`, { recursive: true })
const wants = (name: string) => named.length === 0 || named.includes(name)

/** Random bytes: nothing on the way can make them shorter. */
const bigSize = isQuick ? 2 ** 29 : 2 ** 32
if (wants('sequential') || wants('random')) {
  execFileSync('dd', ['if=/dev/urandom', `of=${tree}/user/big`, 'bs=4M', `count=${bigSize / 2 ** 22}`, 'status=none'])
}
if (wants('listing')) {
  for (let index = 0; index < (isQuick ? 5 : 100); index++) {
    mkdirSync(`${tree}/user/listed/run-${index}`, { recursive: true })
    for (let file = 0; file < 1000; file++)
      closeSync(openSync(`${tree}/user/listed/run-${index}/event-${file}.h5`, 'w'))
  }
}
if (wants('cloning')) {
  const repository = `${work}/repository`
  for (let index = 0; index < (isQuick ? 500 : 5000); index++) {
    const directory = `${repository}/part-${index % 50}`
    mkdirSync(directory, { recursive: true })
    writeFileSync(
      `${directory}/source-${index}.ts`,
      `export const value${index} = ${index}\n`.repeat(1 + (index % 200)),
    )
  }
  const git = (...args: string[]) => execFileSync('git', ['-C', repository, ...args], { stdio: 'ignore' })
  git('init', '-q')
  git('add', '.')
  git('-c', 'user.name=bench', '-c', 'user.email=bench@example.org', 'commit', '-q', '-m', 'all')
}
chmodSync(work, 0o755)
execFileSync('chmod', ['-R', 'a+rwX', tree])

const gateway = await startPortolan(work, { tree, smallFiles: 0, bigSize })
const setting = { gateway, work, tree, isQuick }
const figures: Figure[] = []
const end = async () => {
  await stopMounts()
  await gateway.stop()
  rmSync(work, { recursive: true, force: true })
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => void end().finally(() => process.exit(1)))
}
try {
  await makeKey(setting)
  for (const [name, measure] of Object.entries(cases)) {
    if (!wants(name)) continue
    const found = await measure(setting)
    figures.push(...found)
    print(found)
  }
  const seen = Object.fromEntries([...memory].map(([name, bytes]) => [name, bytes / 1e6]))
  const most: Figure = {
    what: 'resident memory of the mount, the most',
    value: seen.portolan ?? 0,
    unit: 'MB',
    goal: { atMost: 300 },
    raw: seen,
  }
  figures.push(most)
  print([most])
} finally {
  await end()
}

const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version }
if (named.length === 0 && !isQuick) {
  const file = resolve(import.meta.dirname, 'results/fuse.json')
  writeFileSync(file, `${JSON.stringify({ machine, figures }, null, 2)}\n`)
}
