/**
 * Runs a gateway in a process of its own, as the command line does, and prints one line of JSON when it is
 * ready. Not by IPC: a gateway started as root executes itself again, and only the standard streams survive that.
 */

import { flushCompileCache } from 'node:module'
import { join } from 'node:path'
import { runGateway } from '../../gateway/supervisor.ts'

const [configFile = ''] = process.argv.slice(2)
// The test that holds the other end is gone: so are we, and the workers with us.
process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume()
try {
  const status = await runGateway({
    configFile,
    workerFile: join(import.meta.dirname, 'worker.ts'),
    onReady: (ready) => {
      process.stdout.write(`${JSON.stringify(ready)}\n`)
      // Most of these are killed, and would never write it.
      flushCompileCache()
    },
  })
  process.exit(status)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(2)
}
