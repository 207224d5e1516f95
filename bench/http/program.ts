/** Runs the gateway for a measurement, in a process of its own, and says when it serves. */

import { runGateway } from '../../gateway/supervisor.ts'

const configFile = process.argv[2] ?? ''
process.exitCode = await runGateway({ configFile, onReady: () => console.log('ready') })
