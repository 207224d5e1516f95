/**
 * One proof in a process of its own, so that it can be whoever the mount is for, and be ended while the mount hangs.
 *
 *   node prove.ts NAME DIRECTORY [SCALE]
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { proofs } from './proofs.ts'

const [name = '', directory = '', scale = '1'] = process.argv.slice(2)
const proof = proofs[name]
if (!proof) throw new Error(`no proof ${name}; there are: ${Object.keys(proofs).join(', ')}`)
const place = mkdtempSync(join(directory, 'proof-'))
try {
  await proof(place, Number(scale))
  rmSync(place, { recursive: true })
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
