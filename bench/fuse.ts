/**
 * The mount beside `rclone mount` over WebDAV and s3fs, in one run on loopback, all of the same gateway, with curl for what
 * the wire gives. `npm run bench fuse [quick] [awake] [CASE...]`; `awake`: no processor sleeps meanwhile, since waking one
 * takes a virtual machine as long as a whole request may last; what keeps them awake gives way to everything. The tree lies
 * in memory where /dev/shm has the room, so that the disk is not what is measured. What is read at random lies on the disk
 * and in the page cache: a tmpfs cannot tell what can be read without waiting (RWF_NOWAIT), which is like no storage that
 * people have.
 *
 * A missed goal is printed, it does not fail the run.
 */

import { spawn } from 'node:child_process'
import { statfsSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { cloning, listing, memory, random, sequential, writing } from './fuse/cases.ts'
import { missingPrograms, stopMounts } from './fuse/mounts.ts'
import { openPlace, type Place } from './fuse/place.ts'
import { type Figure, print } from './report.ts'

const cases = { sequential, random, writing, listing, cloning }
const words = process.argv.slice(2)
const isQuick = words.includes('quick')
const isAwake = words.includes('awake')
const named = words.filter((word) => word !== 'quick' && word !== 'awake')
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

const wants = (name: string) => named.length === 0 || named.includes(name)
const onDisk = resolve(import.meta.dirname, 'work-fuse')
const { bavail, bsize } = statfsSync('/dev/shm')
const inMemory = bavail * bsize > 12 * 2 ** 30 ? `/dev/shm/portolan-bench-${process.pid}` : `${onDisk}-memory`

const figures: Figure[] = []
const open: Place[] = []
const restless = isAwake ? cpus().map(() => spawn('chrt', ['--idle', '0', process.execPath, '-e', 'for (;;);'])) : []
const end = async () => {
  for (const child of restless) child.kill('SIGKILL')
  await stopMounts()
  for (const place of open) await place.end()
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => void end().finally(() => process.exit(1)))
}
try {
  const others = Object.keys(cases).filter((name) => name !== 'random')
  const places = {
    disk: wants('random') ? await openPlace(onDisk, ['random'], isQuick) : undefined,
    memory: others.some(wants) ? await openPlace(inMemory, others.filter(wants), isQuick) : undefined,
  }
  for (const place of Object.values(places)) if (place) open.push(place)
  for (const [name, measure] of Object.entries(cases)) {
    const place = name === 'random' ? places.disk : places.memory
    if (!wants(name) || !place) continue
    const found = await measure(place.setting)
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
if (named.length === 0 && !isQuick && !isAwake) {
  const file = resolve(import.meta.dirname, 'results/fuse.json')
  writeFileSync(file, `${JSON.stringify({ machine, figures }, null, 2)}\n`)
}
