/** A program that mounts a file system in memory: `memory-server.ts DIRECTORY [hangs|lingers]`. Prints a line when it serves. */

import { errnoOf } from '../../mounts/fuse/errors.ts'
import { deviceOf } from '../../mounts/fuse/kernel/device.ts'
import { Notices } from '../../mounts/fuse/kernel/notices.ts'
import { Session } from '../../mounts/fuse/kernel/session.ts'
import { attach } from '../../mounts/fuse/mounting/attach.ts'
import { MemoryOperations } from './memory-operations.ts'

const [directory = '', mode] = process.argv.slice(2)
const attached = await attach({ directory, source: 'memory', readOnly: false, allowOther: false })
const device = deviceOf(attached.fd)
const operations = new MemoryOperations()
operations.put('file', Buffer.from('content'))
if (mode === 'hangs') {
  operations.before = async (operation, { signal }) => {
    if (operation !== 'open') return
    process.stdout.write('is asked\n')
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
}
// Its mount is over, and it is not.
if (mode === 'lingers') operations.close = () => new Promise((resolve) => setTimeout(resolve, 60_000))
const session = new Session({
  ...{ device, operations, errnoOf, timeout: 60 },
  notices: new Notices(device),
  warn: (line) => process.stderr.write(`${line}\n`),
})
process.on('SIGTERM', () => {
  attached.detach(true).catch((error: unknown) => process.stdout.write(`stays: ${String(error)}\n`))
})
await session.agreed
process.stdout.write('serves\n')
await session.ended
await attached.end()
