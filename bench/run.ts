/** `npm run bench [NAME...]`: runs the named measurements, or all; each prints its figures and writes bench/results/NAME.json. */

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'

const all = ['acl', 'http', 'webdav', 's3', 'backends']
const named = process.argv.slice(2)
for (const name of named.length > 0 ? named : all) {
  if (!all.includes(name)) {
    console.error(`no measurement ${name}; there are: ${all.join(', ')}`)
    process.exit(2)
  }
  const { status } = spawnSync(process.execPath, [resolve(import.meta.dirname, `${name}.ts`)], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
