/** A thread that asks Kerberos about passwords, one at a time: libkrb5 blocks while it waits for a KDC. */

import { parentPort } from 'node:worker_threads'
import { askForTicket, type Question } from './krb5.ts'

parentPort?.on('message', (question: Question) => parentPort?.postMessage(askForTicket(question)))
