/** Runs a gateway in a process of its own, as the command line does, and prints a line of JSON when it is ready. */

import { runGateway } from '../../gateway/supervisor.ts'

const [configFile = '', workerFile] = process.argv.slice(2)
try {
  const status = await runGateway({
    configFile,
    ...(workerFile !== undefined && { workerFile }),
    onReady: (ready) => process.stdout.write(`${JSON.stringify(ready)}\n`),
  })
  process.exit(status)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(2)
}
