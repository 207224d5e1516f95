/** Streams over descriptors: exact bytes, bounded memory, honest errors. */

import { randomBytes } from 'node:crypto'
import {
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ByteBudget } from '../../backends/posix/io/budget.ts'
import { fromKernel } from '../../backends/posix/io/errors.ts'
import { DataShare } from '../../backends/posix/io/share.ts'
import { draftWriter, streamRange } from '../../backends/posix/io/streams.ts'
import { Errno } from '../../backends/posix/native/sys.ts'
import { StorageError } from '../../gateway/core/errors.ts'

const forever = new AbortController().signal
const bytes = randomBytes(3_000_001)

interface Place {
  readonly path: string
  readonly share: DataShare
  /** Opens the file; closed with the test. */
  open(flags: string, path?: string): number
}

function place(t: Test, slots = 2): Place {
  const top = mkdtempSync(join(tmpdir(), 'portolan-streams-'))
  const path = join(top, 'file')
  writeFileSync(path, bytes)
  const share = new DataShare({ slots, queue: 100, deadline: 10_000 })
  const fds: number[] = []
  t.teardown(async () => {
    for (const fd of fds) await share.close(fd)
    rmSync(top, { recursive: true, force: true })
  })
  const open = (flags: string, other = path): number => {
    const fd = openSync(other, flags)
    fds.push(fd)
    return fd
  }
  return { path, share, open }
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}

t.test('a range gives exactly its bytes', async (t) => {
  const { share, open } = place(t)
  const fd = open('r')
  const size = bytes.length
  for (const [start, end] of [
    [0, size],
    [0, 0],
    [size, size],
    [1, 2],
    [65_535, 65_537],
    [100, 1_500_000],
    [size - 1, size],
  ] as const) {
    const got = await buffer(streamRange({ start, end }, { share, fd, signal: forever }))
    t.ok(got.equals(bytes.subarray(start, end)), `${start} to ${end}`)
  }
})

t.test('chunks that are given back are filled again, and nothing gets mixed up', async (t) => {
  const { share, open } = place(t)
  const stream = streamRange({ start: 0, end: bytes.length }, { share, fd: open('r'), signal: forever })
  const seen = new Set<ArrayBufferLike>()
  let position = 0
  let chunks = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (!chunk.equals(bytes.subarray(position, position + chunk.length))) t.fail(`wrong bytes at ${position}`)
    position += chunk.length
    chunks++
    seen.add(chunk.buffer)
    stream.recycle(chunk)
  }
  t.equal(position, bytes.length)
  t.ok(seen.size < chunks, `${chunks} chunks in ${seen.size} buffers`)
})

t.test('a file that became shorter is stale, not padded', async (t) => {
  const { path, share, open } = place(t)
  const stream = streamRange({ start: 0, end: bytes.length }, { share, fd: open('r'), signal: forever })
  truncateSync(path, 1_000_000)
  await t.rejects(buffer(stream), { code: 'stale' })
})

t.test('a descriptor that cannot be read fails with an error of the gateway', async (t) => {
  const { share, open } = place(t)
  const stream = streamRange({ start: 0, end: 10 }, { share, fd: open('r', tmpdir()), signal: forever })
  await t.rejects(buffer(stream), { name: 'StorageError', code: 'is-directory' })
})

t.test('a caller who goes away ends the stream', async (t) => {
  const { share, open } = place(t)
  const caller = new AbortController()
  const stream = streamRange({ start: 0, end: bytes.length }, { share, fd: open('r'), signal: caller.signal })
  await t.rejects(
    async () => {
      for await (const _ of stream) caller.abort()
    },
    { code: 'cancelled' },
  )
})

t.test('whoever reads slowly holds little, and all of them no more than the budget', async (t) => {
  const { share, open } = place(t)
  const fd = open('r')
  const budget = new ByteBudget(1024 * 1024)
  const readers = Array.from({ length: 4 }, () =>
    streamRange({ start: 0, end: bytes.length }, { share, fd, signal: forever, budget }),
  )
  const iterators = readers.map((reader) => reader[Symbol.asyncIterator]())
  let most = 0
  for (let round = 0; round < 8; round++) {
    for (const iterator of iterators) await iterator.next()
    most = Math.max(most, budget.reserved)
  }
  t.ok(most <= budget.limit, `${most} bytes at most`)
  t.ok(most > 4 * 128 * 1024, 'though more than the least')
  for (const reader of readers) {
    reader.destroy()
    await new Promise((resolve) => reader.once('close', resolve))
  }
  t.equal(budget.reserved, 0, 'all is given back')
  const many = Array.from({ length: 100 }, () => budget.lease(1024 * 1024))
  t.equal(budget.reserved, 100 * 128 * 1024, 'each transfer may have two chunks of 64 KiB whatever happens')
  for (const lease of many) lease.release()
  for (const lease of many) lease.release()
  t.equal(budget.reserved, 0)
})

t.test('what is written arrives whole and in order, whatever the chunks', async (t) => {
  const { path, share, open } = place(t)
  for (const size of [1, 1000, 65_536, 3_000_001]) {
    const content = bytes.subarray(0, size === 1 ? 10_000 : bytes.length)
    const chunks = Array.from({ length: Math.ceil(content.length / size) }, (_, index) =>
      content.subarray(index * size, (index + 1) * size),
    )
    const writer = draftWriter({ share, fd: open('w'), signal: forever })
    await pipeline(Readable.from(chunks, { objectMode: false }), writer)
    t.equal(writer.received, content.length)
    t.ok(readFileSync(path).equals(content), `chunks of ${size} bytes`)
  }
  await pipeline(Readable.from([]), draftWriter({ share, fd: open('w'), signal: forever }))
  t.equal(readFileSync(path).length, 0, 'nothing at all')
})

t.test('small chunks are gathered to large writes', async (t) => {
  const { share, open } = place(t)
  let writes = 0
  const counting = Object.create(share, {
    write: {
      value: (...args: Parameters<DataShare['write']>) => {
        writes++
        return share.write(...args)
      },
    },
  }) as DataShare
  const chunks = Array.from({ length: 3000 }, (_, index) => bytes.subarray(index * 1000, (index + 1) * 1000))
  const writer = draftWriter({ share: counting, fd: open('w'), signal: forever })
  await pipeline(Readable.from(chunks, { objectMode: false }), writer)
  t.ok(writes < 50, `${writes} writes for 3000 chunks`)
})

t.test('a full disk is no-space, and more than allowed too-large', async (t) => {
  const { share, open } = place(t)
  const full = draftWriter({ share, fd: open('w', '/dev/full'), signal: forever })
  await t.rejects(pipeline(Readable.from([bytes]), full), { code: 'no-space' })
  const small = draftWriter({ share, fd: open('w', '/dev/full'), signal: forever })
  await t.rejects(pipeline(Readable.from([Buffer.from('x')]), small), { code: 'no-space' }, 'at the last byte too')
  const writer = draftWriter({ share, fd: open('w'), signal: forever, limit: 1000 })
  await t.rejects(pipeline(Readable.from([bytes.subarray(0, 1001)]), writer), { code: 'too-large' })
})

t.test('a sender that is quicker than the disk waits', async (t) => {
  const { share, open } = place(t)
  const budget = new ByteBudget(1024 * 1024)
  const writer = draftWriter({ share, fd: open('w'), signal: forever, budget })
  let pushed = 0
  while (writer.write(bytes.subarray(0, 65_536))) pushed++
  t.ok(pushed < 20, `told to wait after ${pushed} chunks`)
  writer.destroy()
  await new Promise((resolve) => writer.once('close', resolve))
  t.equal(budget.reserved, 0)
})

t.test('past the bound reads and writes are busy, and a close takes back what waits', async (t) => {
  const { path } = place(t)
  const share = new DataShare({ slots: 1, queue: 3, deadline: 10_000 })
  const fd = openSync(path, 'r')
  const read = (): Promise<number> => share.read(fd, Buffer.alloc(100), 0, 100, 0, forever)
  const all = Promise.allSettled([read(), read(), read(), read(), read()])
  t.match(share.status(), { slots: 1, taken: 1, queued: 3 })
  const closed = share.close(fd)
  await t.rejects(read(), { code: 'cancelled' }, 'nothing begins on a descriptor that is being closed')
  await closed
  t.match(await all, [
    { value: 100 },
    { reason: { code: 'cancelled' } },
    { reason: { code: 'cancelled' } },
    { reason: { code: 'cancelled' } },
    { reason: { code: 'busy', retryAfter: 1 } },
  ])
  t.throws(() => fstatSync(fd), { code: 'EBADF' })
  await t.rejects(share.close(fd), { code: 'internal' }, 'closing twice is a bug, and said')
  share.stop()
  await t.rejects(read(), { code: 'unavailable' })
})

t.test('from when a close is asked for until it has come back, nothing begins on the descriptor', async (t) => {
  const { path } = place(t)
  const share = new DataShare({ slots: 1, queue: 3, deadline: 10_000 })
  const long = openSync(path, 'r')
  const fd = openSync(path, 'r')
  const read = (): Promise<number> => share.read(fd, Buffer.alloc(100), 0, 100, 0, forever)
  const busy = share.read(long, Buffer.alloc(100), 0, 100, 0, forever)
  const closed = share.close(fd)
  t.match(share.status(), { taken: 1, queued: 1 }, 'while the close waits for a slot')
  await t.rejects(read(), { code: 'cancelled' })
  await t.rejects(share.close(fd), { code: 'internal' }, 'nor is it closed twice')
  await busy
  t.match(share.status(), { taken: 1, queued: 0 }, 'while it is in the kernel')
  await t.rejects(read(), { code: 'cancelled' })
  await t.rejects(share.close(fd), { code: 'internal' })
  await closed
  await t.rejects(read(), { code: 'internal' }, 'then the number means nothing')
  await share.close(long)
})

t.test('a number that the kernel gives out again is usable though the close was not heard of', async (t) => {
  const { path } = place(t)
  const share = new DataShare({ slots: 2, queue: 3, deadline: 10_000 })
  const fd = openSync(path, 'r')
  const closed = share.close(fd)
  // The event loop does not turn, so the share hears nothing of its close until the number is in use again.
  while (isOpen(fd)) {}
  const others: number[] = []
  for (let again = openSync(path, 'r'); again !== fd; again = openSync(path, 'r')) others.push(again)
  share.opened(fd)
  t.equal(await share.read(fd, Buffer.alloc(100), 0, 100, 0, forever), 100)
  await closed
  t.equal(await share.read(fd, Buffer.alloc(100), 0, 100, 0, forever), 100)
  await share.close(fd)
  t.throws(() => fstatSync(fd), { code: 'EBADF' })
  for (const other of others) await share.close(other)
})

t.test('a draft given up in the middle of a write writes no more', async (t) => {
  const { share, open, path } = place(t)
  const fd = open('w')
  const halfway = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  let writes = 0
  const partial = Object.create(share, {
    write: {
      value: async (fd: number, buffers: readonly Uint8Array[], position: number) => {
        writes++
        halfway.resolve()
        await goOn.promise
        return share.write(fd, [(buffers[0] ?? Buffer.alloc(0)).subarray(0, 10)], position, forever)
      },
    },
  }) as DataShare
  const writer = draftWriter({ share: partial, fd, signal: forever })
  writer.on('error', () => {})
  writer.end(bytes.subarray(0, 100_000))
  await halfway.promise
  writer.destroy()
  goOn.resolve()
  await new Promise((resolve) => writer.once('close', resolve))
  await setImmediate()
  t.equal(writes, 1)
  t.equal(readFileSync(path).length, 10)
})

t.test('all of a stream is written out before it is synced, the disk told early or not', async (t) => {
  const { share, open, path } = place(t)
  for (const syncFollows of [true, false]) {
    const fd = open('w')
    const times = 10
    const source = Readable.from(Array.from({ length: times }, () => bytes))
    await pipeline(source, draftWriter({ share, fd, signal: forever, syncFollows }))
    await share.sync(fd, { dataOnly: true }, forever)
    await share.sync(fd, { dataOnly: false }, forever)
    t.ok(readFileSync(path).equals(Buffer.concat(Array.from({ length: times }, () => bytes))))
  }
  const pipe = new DataShare({ slots: 1, queue: 1, deadline: 1000 })
  t.equal(await pipe.writeBehind(open('r', '/dev/null'), 0, 10, forever), false, 'where it cannot be, that is said')
})

t.test('a stream that nobody reads to its end lets go', async (t) => {
  const { share, open } = place(t)
  const budget = new ByteBudget(1024 * 1024)
  const stream = streamRange({ start: 0, end: bytes.length }, { share, fd: open('r'), signal: forever, budget })
  const sink = new Writable({ write: () => {} })
  stream.pipe(sink)
  while (stream.readableLength === 0) await setImmediate()
  stream.destroy()
  await new Promise((resolve) => stream.once('close', resolve))
  t.equal(budget.reserved, 0)
  t.match(share.status(), { taken: 0 })
})

t.test('every error of the kernel has its word', async (t) => {
  for (const [number, code] of [
    [1, 'denied'],
    [2, 'not-found'],
    [5, 'unavailable'],
    [13, 'denied'],
    [16, 'busy'],
    [17, 'exists'],
    [18, 'cross-mount'],
    [20, 'not-directory'],
    [21, 'is-directory'],
    [22, 'invalid'],
    [24, 'busy'],
    [26, 'locked'],
    [27, 'too-large'],
    [28, 'no-space'],
    [30, 'read-only'],
    [36, 'name-too-long'],
    [39, 'not-empty'],
    [40, 'denied'],
    [95, 'unsupported'],
    [107, 'unavailable'],
    [110, 'unavailable'],
    [112, 'unavailable'],
    [116, 'stale'],
    [122, 'quota'],
    [133, 'internal'],
  ] as const) {
    t.equal(fromKernel(new Errno(number, 'call')).code, code, `${number}`)
  }
  t.equal(fromKernel(new Errno(18, 'openat2')).code, 'denied', 'a look-up that left the tree')
  t.match(StorageError.reasonOf(fromKernel(new Errno(13, 'openat2'))), { rule: 'kernel' })
  t.match(fromKernel(new Error('EACCES')), { code: 'internal' }, 'messages are not looked at')
})

t.test('a file is flushed as by a close, and stays open', async (t) => {
  const { share, open } = place(t)
  const fd = open('r+')
  const before = readdirSync('/proc/self/fd').length
  await Promise.all([share.flush(fd, forever), share.write(fd, [Buffer.from('x')], 0, forever)])
  await share.flush(fd, forever)
  t.equal(readdirSync('/proc/self/fd').length, before, 'and nothing else does')
  t.ok(isOpen(fd))
  await t.rejects(share.flush(-1, forever), { code: 'internal' })
  await t.rejects(share.flush(fd, AbortSignal.abort()), { code: 'cancelled' })
})
