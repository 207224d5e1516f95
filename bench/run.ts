/**
 * `npm run bench [NAME [CASE...]]...`: runs the named measurements, or all, of each the named cases where it has such;
 * each prints its figures and, when whole, writes bench/results/NAME.json.
 */

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'

const all = ['acl', 'identity', 'http', 'webdav', 's3', 'backends', 'fuse']
/** Those that take names of cases. */
const withCases = ['s3', 'identity', 'fuse']
const wanted = process.argv.slice(2)
const named: { readonly name: string; readonly cases: string[] }[] = []
for (const word of wanted.length > 0 ? wanted : all) {
  if (all.includes(word)) named.push({ name: word, cases: [] })
  else if (withCases.includes(named.at(-1)?.name ?? '')) named.at(-1)?.cases.push(word)
  else {
    console.error(`no measurement ${word}; there are: ${all.join(', ')}`)
    process.exit(2)
  }
}
for (const { name, cases } of named) {
  const program = resolve(import.meta.dirname, `${name}.ts`)
  const { status } = spawnSync(process.execPath, [program, ...cases], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
