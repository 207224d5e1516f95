/**
 * What it costs to know who is calling: CPU of the whole process, threads for signatures and all, for authentication
 * alone; and what remains in memory of many callers. A missed goal is printed, it does not fail the run.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { known, unknown } from './identity/cases.ts'
import { crowds } from './identity/memory.ts'
import { type Figure, print } from './report.ts'

const cases = { known, unknown, crowds }
const named = process.argv.slice(2)
const figures: Figure[] = []
for (const [name, measure] of Object.entries(cases)) {
  if (named.length > 0 && !named.includes(name)) continue
  const found = await measure()
  figures.push(...found)
  print(found)
}

if (named.length === 0) {
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
  mkdirSync(resolve(import.meta.dirname, 'results'), { recursive: true })
  writeFileSync(
    resolve(import.meta.dirname, 'results/identity.json'),
    `${JSON.stringify({ machine, figures }, null, 2)}\n`,
  )
}
