/** ACLs of a GPFS that is played by commands over a plain tree. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { Principal } from '../../acl/principal.ts'
import type { BackendServices } from '../../backends/backend.ts'
import { scaleByCommands } from '../../backends/gpfs/commands.ts'
import { GpfsBackend } from '../../backends/gpfs/gpfs.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { GpfsDouble } from '../../test/doubles/gpfs/gpfs.ts'
import type { Figure } from '../report.ts'

const files = 10_000
const principal: Principal = { id: 'bench', user: 'bench@bench', groups: new Set(), grants: 'unbounded' }
const call = {
  id: 'bench',
  principal,
  protocol: 'internal',
  from: '127.0.0.1',
  signal: new AbortController().signal,
} as const

/** Nothing is written here. */
const services: BackendServices = {
  journal: { add: async () => {}, remove: async () => {}, stale: async () => [] },
  overflow: { get: async () => new Map(), set: async () => {}, removeAll: async () => {} },
  leases: { withLease: (_key, _wait, work) => work() },
}

/** How often the commands are asked for a directory of 10,000 files, and what a remembered ACL costs. */
export async function gpfsAcls(work: string): Promise<Figure[]> {
  const top = `${work}/gpfs`
  mkdirSync(`${top}/many`, { recursive: true })
  for (let index = 0; index < files; index++) writeFileSync(`${top}/many/file-${index}.h5`, '')
  const double = await GpfsDouble.make(`${work}/scale`, { fileSystem: 'bench', mountPoint: top })
  // Files that have just changed are asked for again.
  await pause(2500)
  const scale = scaleByCommands({ fileSystem: 'bench', directory: double.bin, mountPoint: top, deadline: 600_000 })
  const backend = new GpfsBackend({ root: top, grade: 'gateway', scale, deadline: 1_800_000 }, services)
  try {
    await backend.ready()
    const first = await listed(backend, double)
    const second = await listed(backend, double)
    writeFileSync(`${top}/many/file-7.h5`, 'changed')
    const third = await listed(backend, double)
    return [
      { what: 'GPFS, 10,000 files listed with ACLs: commands run at first', ...count(first.commands, files + 10) },
      { what: 'GPFS, the same again', ...count(second.commands, 1) },
      { what: 'GPFS, the same after one file changed', ...count(third.commands, 4) },
      { what: 'GPFS, an entry with its remembered ACL, in a listing', value: second.microseconds, unit: 'us' },
      {
        what: 'GPFS, what the remembered ACL adds to it',
        value: Math.max(0, second.microseconds - (await bare(backend))),
        unit: 'us',
        goal: { atMost: 5 },
      },
    ]
  } finally {
    await backend.close()
  }
}

function count(value: number, most: number) {
  return { value, unit: 'commands', goal: { atMost: most } }
}

async function listed(backend: GpfsBackend, double: GpfsDouble) {
  await double.forgetCalls()
  const microseconds = await listing(backend, true)
  return { microseconds, commands: (await double.calls()).filter(({ command }) => command === 'mmgetacl').length }
}

/** Median of several listings without ACLs, in microseconds an entry. */
async function bare(backend: GpfsBackend): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < 5; round++) times.push(await listing(backend, false))
  return times.toSorted((a, b) => a - b)[2] ?? Number.NaN
}

async function listing(backend: GpfsBackend, acls: boolean): Promise<number> {
  const started = performance.now()
  const pending = await backend.list(parsePath('/many'), { acls }, call)
  let entries = 0
  try {
    for await (const page of (await pending.proceed()).pages()) {
      for (const { acl } of page) if (!acls || acl) entries++
    }
  } finally {
    await pending.release()
  }
  if (entries !== files) throw new Error(`${entries} of ${files} entries below ${root} came with an ACL`)
  return ((performance.now() - started) * 1000) / entries
}
