/** The bytes of open files: what is read ahead and written behind is what a plain file would have, and errors are told. */

import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import type { FileData } from '../../mounts/fuse/files/data.ts'
import { createFileStore } from '../../mounts/fuse/files/files.ts'
import { createMemory } from '../../mounts/fuse/files/memory.ts'
import { Dice } from '../dice.ts'
import { Bytes } from './remote-double.ts'

const largest = { read: 4 * 2 ** 20, write: 2 ** 20 }
const pattern = (size: number, seed = 1) => {
  const bytes = Buffer.alloc(size)
  for (let index = 0; index + 4 <= size; index += 4) bytes.writeUInt32LE((index * 2654435761 + seed) >>> 0, index)
  return bytes
}
const all = async (file: FileData, offset: number, size: number) => Buffer.concat(await file.read(offset, size))
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'fine',
    (error: unknown) => (error instanceof StorageError ? error.code : String(error)),
  )

t.test('reading in order reads ahead, by several long requests at once, each byte once', async (t) => {
  const bytes = new Bytes(pattern(40 * 2 ** 20))
  bytes.delay = () => 2
  const store = createFileStore({ largest })
  const file = store.open(1, bytes.open('read'))
  for (let at = 0; at < bytes.content.length; at += 131072) {
    const got = await all(file, at, 131072)
    if (!got.equals(bytes.content.subarray(at, at + 131072))) t.fail(`other bytes at ${at}`)
  }
  const reads = bytes.requests.filter(({ what }) => what === 'read')
  t.ok(reads.length < 40, `${reads.length} requests`)
  t.equal(
    reads.reduce((sum, { length }) => sum + length, 0),
    bytes.content.length,
    'nothing is asked for twice',
  )
  t.ok(bytes.mostUnderWay >= 4, `${bytes.mostUnderWay} at once`)
  t.same(await file.read(bytes.content.length, 4096), [Buffer.alloc(0)], 'nothing after the end')
  await file.release()
  t.equal(bytes.requests.at(-1)?.what, 'close')
})

t.test('requests of a read-ahead that come a little out of order are still one reader', async (t) => {
  const bytes = new Bytes(pattern(16 * 2 ** 20))
  const file = createFileStore({ largest }).open(1, bytes.open('read'))
  const size = 131072
  for (let at = 0; at < bytes.content.length; at += 4 * size) {
    const order = [0, 2, 1, 3].map((part) => at + part * size)
    const got = await Promise.all(order.map((start) => all(file, start, size)))
    for (const [index, start] of order.entries()) t.ok(got[index]?.equals(bytes.content.subarray(start, start + size)))
  }
  t.ok(bytes.requests.length < 40, `${bytes.requests.length} requests`)
})

t.test('small reads here and there ask for what is wanted and nothing else', async (t) => {
  const bytes = new Bytes(pattern(64 * 2 ** 20))
  const file = createFileStore({ largest }).open(1, bytes.open('read'))
  const dice = new Dice(5)
  for (let count = 0; count < 300; count++) {
    const at = dice.below(16384) * 4096
    t.ok((await all(file, at, 4096)).equals(bytes.content.subarray(at, at + 4096)))
  }
  t.ok(
    bytes.requests.every(({ length }) => length === 4096),
    'requests of 4 KiB',
  )
})

t.test('small reads that stay near each other are had by blocks', async (t) => {
  const bytes = new Bytes(pattern(8 * 2 ** 20))
  const file = createFileStore({ largest }).open(1, bytes.open('read'))
  const dice = new Dice(6)
  for (let count = 0; count < 2000; count++) {
    const at = 2 ** 20 + dice.below(128) * 4096
    t.ok((await all(file, at, 1000)).equals(bytes.content.subarray(at, at + 1000)))
  }
  t.ok(bytes.requests.length < 1000, `${bytes.requests.length} requests for 2,000 reads`)
})

t.test('memory stays bounded with many readers, and all of them get on', async (t) => {
  const memory = createMemory({ read: 8 * 2 ** 20 })
  const store = createFileStore({ largest, memory })
  const all = Array.from({ length: 30 }, (_, index) => new Bytes(pattern(2 * 2 ** 20, index)))
  let most = 0
  await Promise.all(
    all.map(async (bytes, index) => {
      bytes.delay = () => 1
      const file = store.open(index, bytes.open('read'))
      for (let at = 0; at < bytes.content.length; at += 262144) {
        const got = Buffer.concat(await file.read(at, 262144))
        most = Math.max(most, memory.read.used)
        if (!got.equals(bytes.content.subarray(at, at + 262144))) t.fail(`other bytes in ${index} at ${at}`)
      }
      await file.release()
    }),
  )
  t.ok(most <= 8 * 2 ** 20, `${most} bytes at most`)
  t.equal(memory.read.used, 0, 'all is given back')
})

t.test('readers that hold what others wait for do not wait for each other', async (t) => {
  const memory = createMemory({ read: 2 * 65_536 })
  const store = createFileStore({ largest, memory })
  const both = [new Bytes(pattern(2 ** 20, 1)), new Bytes(pattern(2 ** 20, 2))]
  await Promise.all(
    both.map(async (bytes, index) => {
      bytes.delay = () => 20
      const file = store.open(index, bytes.open('read'))
      const short = all(file, 0, 65_536)
      await turn()
      t.ok((await all(file, 0, 131_072)).equals(bytes.content.subarray(0, 131_072)))
      await short
      await file.release()
    }),
  )
  t.equal(memory.read.used, 0)
})

t.test('an interrupted read ends at once, and what it waited for does no harm', async (t) => {
  const bytes = new Bytes(pattern(2 ** 20))
  bytes.delay = () => 10_000
  const memory = createMemory()
  const file = createFileStore({ largest, memory }).open(1, bytes.open('read'))
  for (const size of [4096, 262144]) {
    const controller = new AbortController()
    const reading = file.read(0, size, controller.signal)
    await pause(5)
    controller.abort()
    t.equal(await code(reading), 'cancelled')
  }
  await file.release()
  t.ok(bytes.aborted >= 1, 'the request is ended with its file')
  await pause(5)
  t.equal(memory.read.used, 0)
})

t.test('small writes in order become long ones; reading sees them before they are sent', async (t) => {
  const bytes = new Bytes()
  const file = createFileStore({ largest }).open(1, bytes.open())
  const wanted = pattern(3 * 2 ** 20 + 5000)
  for (let at = 0; at < wanted.length; at += 4096) await file.write(wanted.subarray(at, at + 4096), at)
  t.equal(file.size, wanted.length)
  t.ok((await all(file, wanted.length - 3000, 3000)).equals(wanted.subarray(-3000)), 'its own bytes')
  await file.flush(true)
  t.ok(bytes.content.equals(wanted))
  t.equal(bytes.requests.filter(({ what }) => what === 'write').length, 4)
  await file.sync()
  t.equal(bytes.requests.at(-1)?.what, 'sync')
})

t.test('what was written is sent soon, also when nobody asks for it', async (t) => {
  const bytes = new Bytes()
  const file = createFileStore({ largest }).open(1, bytes.open())
  await file.write(Buffer.from('line'), 0)
  while (bytes.content.length === 0) await pause(20)
  t.equal(String(bytes.content), 'line')
  await file.release()
})

t.test('an error of a write behind is told once, at the next write, flush or sync', async (t) => {
  for (const next of ['write', 'flush', 'sync'] as const) {
    const bytes = new Bytes()
    bytes.refuse = () => new StorageError('quota', 'used up')
    const lost: unknown[] = []
    const store = createFileStore({ largest })
    const file = store.open(1, bytes.open(), { lost: (error) => lost.push(error) })
    const other = store.open(1, bytes.open())
    const reader = store.open(1, bytes.open('read'))
    await file.write(pattern(2 ** 20), 0)
    await store.settle(1)
    bytes.refuse = undefined
    const told = {
      write: () => file.write(Buffer.from('more'), 0),
      flush: () => file.flush(true),
      sync: () => file.sync(),
    }
    t.equal(await code(told[next]()), 'quota', next)
    t.equal(await code(told[next]()), 'fine', `${next} again`)
    t.equal(await code(other.sync()), 'quota', 'who else has it open for writing hears of it')
    t.equal(await code(reader.flush(true)), 'fine', 'who reads does not at close(2)')
    t.equal(await code(reader.sync()), 'quota', 'but at fsync(2)')
    t.equal(await code(reader.sync()), 'fine')
    t.equal(lost.length, 1)
    await file.release()
  }
})

t.test('a handle that is left with an error says so', async (t) => {
  const bytes = new Bytes()
  bytes.refuse = () => new StorageError('no-space', 'full')
  const lost: unknown[] = []
  const untold: unknown[] = []
  const options = { lost: (error: unknown) => lost.push(error), untold: (error: unknown) => untold.push(error) }
  const store = createFileStore({ largest })
  for (const isTold of [false, true]) {
    const file = store.open(1, bytes.open(), options)
    await file.write(Buffer.from('bytes'), 0)
    if (isTold) t.equal(await code(file.flush(true)), 'no-space')
    await file.release()
  }
  t.equal(lost.length, 2)
  t.equal(untold.length, 1, 'for the log, where nobody asked')
})

t.test('writes wait where memory is full, and an interrupted one takes no room', async (t) => {
  const memory = createMemory({ written: 4 * 2 ** 20 })
  const bytes = new Bytes()
  bytes.delay = () => 5
  const file = createFileStore({ largest, memory }).open(1, bytes.open())
  const wanted = pattern(32 * 2 ** 20)
  let most = 0
  for (let at = 0; at < wanted.length; at += 2 ** 20) {
    await file.write(wanted.subarray(at, at + 2 ** 20), at)
    most = Math.max(most, memory.written.used)
  }
  t.ok(most <= 4 * 2 ** 20, `${most} bytes at most`)
  await file.flush(true)
  t.ok(bytes.content.equals(wanted))
  t.equal(memory.written.used, 0)
})

t.test('many files that are written a little at a time share the room', async (t) => {
  const memory = createMemory({ written: 2 ** 20 })
  const store = createFileStore({ largest, memory })
  const files = Array.from({ length: 100 }, () => new Bytes())
  await Promise.all(
    files.map(async (bytes, index) => {
      const file = store.open(index, bytes.open())
      for (let count = 0; count < 20; count++) await file.write(pattern(1000, index), count * 1000)
      await file.release()
    }),
  )
  for (const [index, { content }] of files.entries()) {
    t.ok(content.equals(Buffer.concat(Array.from({ length: 20 }, () => pattern(1000, index)))))
  }
  t.equal(memory.written.used, 0)
})

t.test(
  'a draft is written in order, may begin anew while it is small, and becomes the file at the last close',
  async (t) => {
    const bytes = new Bytes(Buffer.from('old'))
    const store = createFileStore({ largest })
    const file = store.open(1, bytes.open('draft'))
    t.equal(file.size, 0)
    await file.flush(true)
    t.equal(String(bytes.content), 'old', 'a duplicate that is closed before anything was written')
    await file.write(Buffer.from('header and content'), 0)
    await file.write(Buffer.from('HEADER'), 0)
    t.equal(store.looking(1)(bytes.attributes()).size, 18, 'the size shown is that of the draft')
    await file.flush(false)
    t.equal(String(bytes.content), 'old')
    await file.write(Buffer.from(' and end'), 20)
    t.equal(await code(file.write(Buffer.from('back'), 2)), 'unsupported')
    await file.flush(true)
    t.equal(String(bytes.content), 'HEADER and content\0\0 and end')
    t.equal(await code(file.write(Buffer.from('more'), 28)), 'unsupported')
    await file.release()
  },
)

t.test('a draft that lost a block never becomes a file', async (t) => {
  const bytes = new Bytes(Buffer.from('old'))
  bytes.refuse = (offset) => (offset === 2 ** 20 ? new StorageError('no-space', 'full') : undefined)
  const lost: unknown[] = []
  const file = createFileStore({ largest }).open(1, bytes.open('draft'), { lost: (error) => lost.push(error) })
  const outcomes: string[] = []
  for (let at = 0; at < 5 * 2 ** 20; at += 2 ** 20) outcomes.push(await code(file.write(pattern(2 ** 20), at)))
  outcomes.push(await code(file.flush(true)), await code(file.flush(true)))
  t.ok(
    outcomes.slice(-2).every((outcome) => outcome === 'no-space'),
    `${outcomes}`,
  )
  await file.release()
  t.equal(String(bytes.content), 'old')
  t.notOk(bytes.requests.some(({ what }) => what === 'commit'))
})

t.test('a draft that nobody wrote to becomes an empty file when it is let go of', async (t) => {
  const bytes = new Bytes(Buffer.from('old'))
  const file = createFileStore({ largest }).open(1, bytes.open('draft'))
  await file.flush(true)
  await file.release()
  t.equal(bytes.content.length, 0)
})

t.test('what changed elsewhere is read anew, what was written here stays', async (t) => {
  const bytes = new Bytes(pattern(4 * 2 ** 20))
  const store = createFileStore({ largest })
  const file = store.open(1, bytes.open())
  for (let at = 0; at < 2 ** 20; at += 131072) await all(file, at, 131072)
  await file.write(Buffer.from('mine'), 3 * 2 ** 20)
  bytes.put(Buffer.alloc(4 * 2 ** 20, 7), 0)
  store.changed(1)
  t.ok((await all(file, 2 ** 20, 131072)).equals(Buffer.alloc(131072, 7)))
  t.equal(String((await all(file, 3 * 2 ** 20, 5)).subarray(0, 4)), 'mine')
  await file.release()
})

t.test('the size shown is never older than a write or a truncation that came before', async (t) => {
  const bytes = new Bytes(Buffer.alloc(100))
  const store = createFileStore({ largest })
  const file = store.open(1, bytes.open())
  const before = bytes.attributes()
  const put = store.looking(1)
  await file.write(Buffer.alloc(50), 100)
  await file.flush(true)
  t.equal(put(before).size, 150, 'an answer that was on its way')
  t.equal(store.looking(1)({ ...before, size: 120 }).size, 120, 'made shorter elsewhere')
  const again = store.looking(1)
  await file.truncate(10)
  t.equal(again({ ...before, size: 120 }).size, 10)
  t.equal(store.looking(2)(before), before, 'of others as it is')
  await file.release()
})

t.test('random work by two handles leaves what a plain file would have', async (t) => {
  for (let seed = 1; seed <= 3; seed++) {
    const dice = new Dice(seed)
    const bytes = new Bytes(pattern(300_000, seed))
    bytes.delay = () => dice.below(3)
    const memory = createMemory({ read: 2 ** 20, written: 512 * 1024 })
    const store = createFileStore({ largest: { read: 262144, write: 65536 }, memory })
    const handles: [FileData, FileData] = [store.open(1, bytes.open()), store.open(1, bytes.open())]
    const model = new Bytes(Buffer.from(bytes.content))
    for (let step = 0; step < 1500; step++) {
      const file = dice.of(handles)
      const at = dice.below(400_000)
      const length = dice.below(4) === 0 ? dice.below(200_000) : dice.below(9000)
      const what = dice.below(20)
      if (what < 8) {
        const data = pattern(length, step)
        if (length > 0) model.put(data, at)
        // Whoever says to be done with it does not look at it again.
        await file.write(data, at, undefined, () => data.fill(0xee))
      } else if (what < 17) {
        const got = await all(file, at, length)
        if (!got.equals(model.content.subarray(at, at + length)))
          throw new Error(`seed ${seed} step ${step}: read at ${at}`)
      } else if (what === 17) {
        await file.truncate(at)
        model.resize(at)
      } else if (what === 18) await file.flush(true)
      else if (dice.below(4) === 0) store.changed(1)
      if (file.size !== model.content.length) throw new Error(`seed ${seed} step ${step}: size ${file.size}`)
    }
    await store.close()
    t.ok(bytes.content.equals(model.content), `seed ${seed}`)
    t.equal(memory.read.used + memory.written.used, 0, 'all memory is given back')
  }
})
