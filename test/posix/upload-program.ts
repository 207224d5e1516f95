/** A process of the gateway that appends to an upload without end, until it is killed. */

import { Readable } from 'node:stream'
import { alice, callOf } from './backend-world.ts'
import { type Grade, openWorker } from './upload-ground.ts'

const [root = '', state = '', grade = '', id = '', offset = '0', piece = '65536'] = process.argv.slice(2)
const worker = await openWorker({ root, state, grade: grade as Grade })
let sent = 0
const body = new Readable({
  read() {
    this.push(Buffer.alloc(Number(piece), 120))
    sent += Number(piece)
    // By then the first of it has long been written.
    if (sent === 64 * Number(piece)) process.send?.('sending')
    if (sent > 64 * Number(piece)) this.pause()
  },
})
process.send?.('open')
try {
  await worker.storage.uploads.append(callOf(alice), id, Number(offset), body)
  process.send?.('done')
} catch (error) {
  process.send?.(error instanceof Error && 'code' in error ? `${String(error.code)}` : String(error))
}
await worker.close()
