/** A caller whose machine is gone is noticed before the kernel would. */

import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const program = fileURLToPath(new URL('lost-peers-program.ts', import.meta.url))
const isolated = ['-r', '-n']
const may = spawnSync('unshare', [...isolated, 'ip', 'link', 'set', 'lo', 'up']).status === 0
const skip = may ? false : 'no network of its own can be made here (unshare, ip)'

t.test('what is not acknowledged ends the connection soon', { skip }, async (t) => {
  const { stdout } = await run('unshare', [...isolated, process.execPath, program], { timeout: 20_000 })
  t.equal(stdout, 'ETIMEDOUT')
})
