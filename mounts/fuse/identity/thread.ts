/** A thread that does one job after the other (jobs.ts). */

import { parentPort } from 'node:worker_threads'
import { StorageError } from '../../../gateway/core/errors.ts'
import { type Job, work } from './jobs.ts'

const port = parentPort
port?.on('message', (job: Job) => {
  try {
    port.postMessage({ done: work(job) })
  } catch (error) {
    const { code, message } = StorageError.from(error)
    port.postMessage({ code, message })
  }
})
