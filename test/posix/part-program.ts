/** A process of the gateway that sends a part without end, or completes an upload, until it is killed. */

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { alice, callOf } from './backend-world.ts'
import { type Grade, openWorker } from './upload-ground.ts'

const [root = '', state = '', grade = '', id = '', task = '', spooled = ''] = process.argv.slice(2)
// Dies at the step that the environment names, if any.
const operationsModule = new URL('./crash-operations.ts', import.meta.url).href
const ground = { root, state, grade: grade as Grade, spooled: spooled !== '' }
const worker = await openWorker(ground, undefined, { operationsModule })
const { parts } = worker.storage
const call = callOf(alice)
const piece = 65_536
const most = 200 * piece

async function write(number: number): Promise<void> {
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
  const part = await parts.write(call, id, number, { size: most })
  await pipeline(body, part.body)
}

try {
  if (task.startsWith('part')) await write(Number(task.slice(4)))
  else
    await parts.complete(
      call,
      id,
      task.split(',').map((number) => ({ number: Number(number) })),
    )
  process.send?.('done')
} catch (error) {
  process.send?.(error instanceof Error && 'code' in error ? `${String(error.code)}` : String(error))
}
await worker.close()
