/**
 * The stand-in as a program: takes its options as one line of JSON on standard input, writes its addresses as
 * one line of JSON on standard output, and ends on SIGTERM or when standard input ends.
 */

import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type DcacheDoubleOptions, startDcache } from './dcache.ts'

const lines = createInterface({ input: process.stdin })
const ended = Promise.race([once(lines, 'close'), once(process, 'SIGTERM'), once(process, 'SIGINT')])
const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string | undefined]
if (typeof line === 'string' && line.startsWith('{')) {
  const double = await startDcache(JSON.parse(line) as DcacheDoubleOptions)
  const { webdav, frontend, pools } = double
  process.stdout.write(`${JSON.stringify({ webdav, frontend, pools })}\n`)
  await ended
  await double.close()
}
lines.close()
process.stdin.destroy()
