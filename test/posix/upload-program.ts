/** A process of the gateway that appends to an upload without end, until it is killed. */

import { Readable } from 'node:stream'
import { alice, callOf } from './backend-world.ts'
import { type Grade, openWorker } from './upload-ground.ts'

const [root = '', state = '', grade = '', id = '', offset = '0', spooled = ''] = process.argv.slice(2)
const worker = await openWorker({ root, state, grade: grade as Grade, spooled: spooled !== '' })
const piece = 65_536
let sent = 0
const body = new Readable({
  read() {
    this.push(Buffer.alloc(piece, 120))
    sent += piece
    // By then the first of it has long been written.
    if (sent === 64 * piece) process.send?.('sending')
    if (sent > 64 * piece) this.pause()
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
