/**
 * A process of a gateway that writes one file over and over as bob, with a storage in memory that is as good as shared:
 * locks know objects by names and ids alone. Tells when it has begun, and at the end when each of its commits was made.
 */

import { MemoryBackend } from '../../backends/memory/memory.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { by, holding, namespaceOf, openProcess, together } from './locked-world.ts'
import { outcome } from './world.ts'

const [directory = ''] = process.argv.slice(2)
const memory = new MemoryBackend(together, { name: 'memory' })
/** Of CLOCK_MONOTONIC, which all processes share. */
const commits: string[] = []
const decided = () => void commits.push(String(process.hrtime.bigint()))
const writer = await openProcess(directory, namespaceOf(holding(memory, { decided })), Date.now)
await writer.storage.mkdir(by('alice'), parsePath('/data/d'))
await writer.storage.mkdir(by('alice'), parsePath('/data/d/sub'))
await writer.storage.mkdir(by('alice'), parsePath('/data/e'))

const codes: Record<string, number> = {}
let isOver = false
process.on('message', () => {
  isOver = true
})
for (let count = 0; !isOver; count++) {
  const code = await outcome(writer.put('bob', '/data/d/f', `write ${count}`))
  codes[code] = (codes[code] ?? 0) + 1
  if (count === 0) process.send?.('writing')
  await new Promise((resolve) => setImmediate(resolve))
}
await writer.state.close()
process.send?.({ commits, codes }, () => process.disconnect?.())
