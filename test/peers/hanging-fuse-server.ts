/** The process behind hanging-fuse.ts: `node hanging-fuse-server.ts MOUNTPOINT`, driven by messages. */

import { openSync, read, statSync, writeSync } from 'node:fs'
import { detachMount, mount } from '../../backends/posix/native/process.ts'
import { FuseTree, maxWrite, type Shortage } from './fuse-tree.ts'

const mountpoint = process.argv[2] ?? ''
const bytes = Buffer.alloc(4 * 1024 * 1024, 'portolan')
const tree = new FuseTree({ 'small.txt': Buffer.from('hello\n'), 'large.bin': bytes })
const device = openSync('/dev/fuse', 'r+')
/** What came in while answers were withheld; undefined while they are not. */
let withheld: Buffer[] | undefined

const MS_NOSUID_NODEV = 6
mount('portolan-test', mountpoint, 'fuse', MS_NOSUID_NODEV, options())
for (let loop = 0; loop < 2; loop++) serve(Buffer.alloc(maxWrite + 65536))
// Answered by ourselves, so it must not be asked synchronously.
process.send?.('mounted')

process.on('message', (message) => {
  if (message === 'withhold') {
    withheld ??= []
    process.send?.('withholding')
  } else if (message === 'answer') {
    const late = withheld ?? []
    withheld = undefined
    for (const request of late) handle(request)
  } else {
    tree.shorten(message as Shortage)
    process.send?.('shortened')
  }
})
process.on('disconnect', () => {
  detachMount(mountpoint)
  process.exit(0)
})

function options(): string {
  const { mode } = statSync(mountpoint)
  const rootmode = (mode & 0o170000).toString(8)
  return `fd=${device},rootmode=${rootmode},user_id=0,group_id=0,default_permissions,allow_other`
}

function serve(buffer: Buffer): void {
  read(device, buffer, 0, buffer.length, null, (error, size) => {
    if (error?.code === 'ENODEV') process.exit(0)
    if (!error) {
      const request = Buffer.from(buffer.subarray(0, size))
      if (withheld) withheld.push(request)
      else handle(request)
    }
    serve(buffer)
  })
}

function handle(request: Buffer): void {
  const answer = tree.answer(request)
  if (!answer) return
  try {
    writeSync(device, answer)
  } catch (error) {
    // The caller was interrupted and waits no more.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}
