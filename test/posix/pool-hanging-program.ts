/** Started by pool-hanging.test.ts: gets its threads stuck in the file system given, then ends on SIGTERM with status 5. */

import { openSync } from 'node:fs'
import { join } from 'node:path'
import { IoPool } from '../../backends/posix/io/pool.ts'
import { DataShare } from '../../backends/posix/io/share.ts'
import { exitNow } from '../../backends/posix/native/process.ts'
import type { PosixSetup } from '../../backends/posix/options.ts'

const path = join(process.argv[2] ?? '', 'small.txt')
const forever = new AbortController().signal
const pool = new IoPool({
  name: 'hung',
  threads: 2,
  queue: 100,
  deadline: 60_000,
  stuckAfter: 50,
  posix: {} as PosixSetup,
  operationsModule: new URL('./pool-operations.ts', import.meta.url).href,
})
await pool.ready()
const share = new DataShare({ slots: 2, queue: 100, deadline: 60_000 })
const fd = openSync(path, 'r')
process.on('SIGTERM', () => {
  share.stop()
  pool.close().then(() => exitNow(5))
})
process.on('message', () => {
  const given = Array.from({ length: 4 }, () => [
    pool.run('read', { path }, undefined, forever),
    share.read(fd, Buffer.alloc(10), 0, 10, 0, forever),
  ])
  // They fail when the process ends, which is what this is about.
  Promise.allSettled(given.flat())
  setInterval(() => {
    if (pool.status().stuck === 2) process.send?.({ stuck: 2, taken: share.status().taken })
  }, 20)
})
process.send?.('ready')
