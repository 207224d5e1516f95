/** The process of resident.ts. */

import { Readable } from 'node:stream'
import { run } from '../../gateway/cli/program.ts'
import type { Order, Told } from './resident.ts'

process.on('message', async (order: Order) => {
  process.env = { ...order.env }
  Object.defineProperty(process, 'stdin', { value: Readable.from([order.input]), configurable: true })
  const stdout = kept(process.stdout)
  const stderr = kept(process.stderr)
  const code = await run(order.words)
  process.stdout.removeAllListeners('error')
  process.send?.({ code, stdout: stdout.join(''), stderr: stderr.join('') } satisfies Told)
})

process.on('disconnect', () => process.exit())

/** What is written to it from now on. */
function kept(stream: NodeJS.WriteStream): readonly string[] {
  const parts: string[] = []
  stream.write = (part: string | Uint8Array) => parts.push(String(part)) > 0
  return parts
}
