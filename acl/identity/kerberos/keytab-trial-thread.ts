/** The thread that keytab-trial.ts asks Kerberos on. */

import { parentPort, workerData } from 'node:worker_threads'
import { type Trial, tryHere } from './keytab-trial.ts'

parentPort?.postMessage(tryHere(workerData as Trial))
