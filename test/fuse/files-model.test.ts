/**
 * Several processes work with one file at once by three handles, as the kernel lets them: one changes it at a time, any
 * number read. The gateway is slow, refuses writes, and has the file changed by others; memory is short.
 */

import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import type { RemoteFile } from '../../mounts/client/fs/remote.ts'
import type { FileData } from '../../mounts/fuse/files/data.ts'
import { createFileStore } from '../../mounts/fuse/files/files.ts'
import { createMemory } from '../../mounts/fuse/files/memory.ts'
import { Dice } from '../dice.ts'
import { Bytes } from './remote-double.ts'

const largest = { read: 262_144, write: 65_536 }
const longest = 400_000
const steps = 150
const seeds = 3

/** A read that is under way, and which of its bytes somebody changed meanwhile. */
interface Watched {
  readonly start: number
  readonly before: Buffer
  readonly touched: Uint8Array
}

class World {
  readonly dice: Dice
  readonly bytes: Bytes
  readonly memory = createMemory({ read: 2 ** 20, written: 262_144 })
  readonly store = createFileStore({ largest, memory: this.memory })
  /** What a plain file would have, and which bytes nobody knows since a write of them failed. */
  model: Buffer
  readonly unknown = new Uint8Array(2 * longest)
  readonly handles: FileData[] = []
  /** Handles that have not been told of a failure yet. */
  readonly untold = new Set<FileData>()
  readonly wrong: string[] = []
  /** Something was refused: the end of the file may be elsewhere. */
  isTorn = false
  readonly #reads = new Set<Watched>()
  #changing = { start: 0, end: 0 }
  readonly #refused: { start: number; end: number }[] = []
  #turn: Promise<unknown> = Promise.resolve()

  constructor(seed: number) {
    this.dice = new Dice(seed * 7919)
    this.bytes = new Bytes(this.noise(300_000))
    this.model = Buffer.from(this.bytes.content)
    this.bytes.delay = () => (this.dice.below(10) === 0 ? this.dice.below(12) : this.dice.below(2))
    for (let count = 0; count < 3; count++) {
      this.handles.push(this.store.open(1, this.#copying(this.bytes.open())))
    }
  }

  noise(length: number): Buffer {
    const bytes = Buffer.alloc(length)
    const first = this.dice.below(2 ** 30)
    for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE((first + at * 2654435761) >>> 0, at)
    return bytes
  }

  /** The inode's lock. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => {})
    return mine
  }

  /** Somebody changes this, until the next one does. */
  touch(start: number, end: number): void {
    this.#changing = { start, end }
    for (const read of this.#reads) this.#touch(read)
  }

  /** The change is done; of what was refused during it nobody knows which part was. */
  settled(): void {
    this.#changing = { start: 0, end: 0 }
    for (const { start, end } of this.#refused.splice(0)) this.unknown.fill(1, start, end)
  }

  #touch({ start, touched }: Watched): void {
    const changing = this.#changing
    const [from, to] = [Math.max(0, changing.start - start), Math.min(touched.length, changing.end - start)]
    if (to > from) touched.fill(1, from, to)
  }

  /** Known from now on to be the model's. */
  set(data: Buffer, at: number): void {
    if (at > this.model.length) this.unknown.fill(0, this.model.length, at)
    if (at + data.length > this.model.length) this.resize(at + data.length)
    data.copy(this.model, at)
    this.unknown.fill(0, at, at + data.length)
  }

  resize(size: number): void {
    const longer = Buffer.alloc(size)
    this.model.copy(longer)
    if (size > this.model.length) this.unknown.fill(0, this.model.length, size)
    this.model = longer
  }

  async read(file: FileData, start: number, length: number, signal?: AbortSignal): Promise<void> {
    const watched = {
      start,
      before: Buffer.from(this.model.subarray(start, start + length)),
      touched: Uint8Array.from(this.unknown.subarray(start, start + length)),
    }
    this.#touch(watched)
    this.#reads.add(watched)
    try {
      const got = Buffer.concat(await file.read(start, length, signal))
      const isQuiet = watched.touched.every((mark) => mark === 0)
      if (isQuiet && !this.isTorn && got.length !== watched.before.length)
        this.wrong.push(`${got.length} bytes at ${start}`)
      for (let at = 0; at < Math.min(got.length, watched.before.length); at++) {
        if (watched.touched[at] === 1 || got[at] === watched.before[at]) continue
        this.wrong.push(`another byte at ${start + at}, read from ${start}`)
        break
      }
    } finally {
      this.#reads.delete(watched)
    }
  }

  failed(start: number, end: number): void {
    this.isTorn = true
    this.unknown.fill(1, start, end)
    this.#refused.push({ start, end })
    for (const { start: from, touched } of this.#reads) {
      touched.fill(1, Math.max(0, start - from), Math.max(0, Math.min(touched.length, end - from)))
    }
    for (const file of this.handles) this.untold.add(file)
  }

  #copying(remote: RemoteFile): RemoteFile {
    return Object.assign(remote, {
      copyFrom: (_source: RemoteFile, start: number, length: number, offset: number, signal?: AbortSignal) =>
        this.bytes.take({ what: 'write', offset, length }, signal, () => {
          const part = Buffer.from(this.bytes.content.subarray(start, start + length))
          if (part.length > 0) this.bytes.put(part, offset)
          return part.length
        }),
    })
  }
}

/** True where it was told of an earlier failure. */
async function told(world: World, file: FileData, work: () => Promise<void>): Promise<boolean> {
  try {
    await work()
    return false
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'no-space') throw error
    if (!world.untold.delete(file)) world.wrong.push('told of a failure that was none, or twice')
    return true
  }
}

async function change(world: World, file: FileData): Promise<void> {
  const { dice } = world
  const at = dice.below(longest)
  const length = 1 + (dice.below(4) === 0 ? dice.below(150_000) : dice.below(9000))
  const what = dice.below(24)
  if (what < 15) {
    const data = world.noise(length)
    const kept = Buffer.from(data)
    world.touch(Math.min(at, world.model.length), at + length)
    const wasTold = await told(world, file, () => file.write(data, at, undefined, () => data.fill(0xee)))
    if (!wasTold) world.set(kept, at)
  } else if (what === 15) {
    const controller = new AbortController()
    world.touch(Math.min(at, world.model.length), at + length)
    setTimeout(() => controller.abort(), dice.below(4))
    const data = world.noise(length)
    const kept = Buffer.from(data)
    try {
      if (!(await told(world, file, () => file.write(data, at, controller.signal)))) world.set(kept, at)
    } catch (error) {
      if (!controller.signal.aborted) throw error
      await world.store.settle(1)
      world.set(Buffer.from(world.bytes.content.subarray(at)), at)
      world.resize(world.bytes.content.length)
      world.store.looking(1)(world.bytes.attributes())
    }
  } else if (what < 18) {
    world.touch(0, 2 * longest)
    if (!(await told(world, file, () => file.truncate(at)))) world.resize(at)
  } else if (what === 18) {
    const end = Math.min(at + length, world.model.length)
    if (at >= end) return
    world.touch(at, end)
    await file.allocate(at, end, 'zero')
    world.set(Buffer.alloc(end - at), at)
  } else if (what === 19) {
    const from = dice.below(world.model.length + 1)
    world.touch(Math.min(at, world.model.length), at + length)
    const source = dice.of([file, file])
    const copied = await file.copyFrom(source, from, length, at)
    // What nobody knows is copied, too.
    const doubt = world.unknown.slice(from, from + copied)
    if (copied > 0) world.set(Buffer.from(world.bytes.content.subarray(at, at + copied)), at)
    world.unknown.set(doubt, at)
  } else if (what === 20) {
    await world.store.settle(1)
    const data = world.noise(length)
    world.touch(Math.min(at, world.model.length), at + length)
    world.bytes.put(data, at)
    world.set(data, at)
    world.store.changed(1)
    world.store.looking(1)(world.bytes.attributes())
  } else await told(world, file, () => (what < 23 ? file.flush(true) : file.sync()))
}

async function work(world: World, count: number): Promise<void> {
  for (let step = 0; step < count && world.wrong.length === 0; step++) {
    const { dice } = world
    const file = world.handles[dice.below(3)]
    if (!file) continue
    if (dice.below(2) === 0) await world.alone(() => change(world, file).finally(() => world.settled()))
    else {
      const [at, length] = [dice.below(longest), 1 + (dice.below(3) === 0 ? dice.below(200_000) : dice.below(5000))]
      const controller = dice.below(12) === 0 ? new AbortController() : undefined
      if (controller) setTimeout(() => controller.abort(), dice.below(5))
      await world.read(file, at, length, controller?.signal).catch((error: unknown) => {
        if (controller?.signal.aborted !== true) throw error
      })
    }
    if (world.memory.read.used > world.memory.read.limit) world.wrong.push('too much memory')
  }
}

for (const refuses of [false, true]) {
  const name = refuses ? 'with writes that are refused' : 'with a slow gateway'
  t.test(`many at one file see what a plain file has, ${name}`, async (t) => {
    for (let seed = 1; seed <= seeds; seed++) {
      const world = new World(seed)
      world.bytes.refuse = (offset, length) => {
        if (!refuses || world.dice.below(30) > 0) return undefined
        world.failed(offset, offset + length)
        return new StorageError('no-space', 'full')
      }
      await Promise.all(Array.from({ length: 5 }, () => work(world, steps)))
      await world.store.settle(1)
      const { content } = world.bytes
      const same = [...world.model].every((byte, at) => world.unknown[at] === 1 || byte === (content[at] ?? 0))
      if (!same) world.wrong.push('other bytes at the gateway')
      if (!refuses) t.equal(content.length, world.model.length, `size, seed ${seed}`)
      for (const file of world.handles) {
        if (world.untold.has(file) && !(await told(world, file, () => file.sync()))) world.wrong.push('never told')
        await file.sync()
      }
      await world.store.close()
      await pause(1)
      t.same(world.wrong, [], `seed ${seed}`)
      t.equal(world.memory.read.used + world.memory.written.used, 0, 'all memory is given back')
    }
  })
}
