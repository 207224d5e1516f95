/** The disk cache serves what was stored and nothing else, keeps to its size, and survives what a crash leaves behind. */

import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { openDiskCache } from '../../mounts/fuse/files/disk-cache.ts'
import type { BlockCache } from '../../mounts/fuse/files/file.ts'
import { createFileStore } from '../../mounts/fuse/files/files.ts'
import { Dice } from '../dice.ts'
import { Bytes } from './remote-double.ts'

const block = (text: string) => Buffer.alloc(65536, text)
const size = 2 * 2 ** 20

function place(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-cache-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  return join(directory, 'cache')
}

const log = () => {}
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'fine',
    (error: unknown) => (error instanceof StorageError ? error.code : String(error)),
  )

async function stored(cache: BlockCache, version: string, number: number): Promise<Buffer> {
  for (;;) {
    const found = await cache.get(version, number)
    if (found) return found
    await pause(2)
  }
}

t.test('what one stored is there for him, also after a restart, and for nobody else', async (t) => {
  const directory = place(t)
  const cache = await openDiskCache({ directory, size, log })
  const alice = cache.of('alice')
  alice.put('v1', 7, block('seven'))
  alice.put('v1', 8, Buffer.from('the last one is short'))
  t.ok((await stored(alice, 'v1', 7)).equals(block('seven')))
  t.equal(await cache.of('bob').get('v1', 7), undefined)
  t.equal(await alice.get('v2', 7), undefined)
  t.equal(await alice.get('v1', 9), undefined)
  t.equal(await code(openDiskCache({ directory, size, log })), 'busy', 'one process at a time')
  await cache.close()
  const again = await openDiskCache({ directory, size, log })
  t.ok((await again.of('alice').get('v1', 7))?.equals(block('seven')))
  t.equal(String(await again.of('alice').get('v1', 8)), 'the last one is short')
  await again.close()
})

t.test('it never takes more than it may, and keeps what is used', async (t) => {
  const directory = place(t)
  const cache = await openDiskCache({ directory, size, log })
  const mine = cache.of('me')
  for (let number = 0; number < 200; number++) {
    mine.put('v', number, block(`${number} `))
    if (number % 10 === 0) await stored(mine, 'v', number)
    if (number > 0) t.ok(await mine.get('v', 0), 'the first one, which is read all the time')
    const taken = statSync(join(directory, 'blocks')).size + statSync(join(directory, 'index')).size
    if (taken > size) t.fail(`${taken} bytes`)
  }
  let kept = 0
  for (let number = 0; number < 200; number++) {
    const found = await mine.get('v', number)
    if (!found) continue
    kept++
    t.ok(found.equals(block(`${number} `)))
  }
  t.ok(kept > 20, `${kept} of 31 slots`)
  await cache.close()
  const smaller = await openDiskCache({ directory, size: 2 ** 20 + 2048, log })
  t.ok(statSync(join(directory, 'blocks')).size <= 2 ** 20, 'a smaller size cuts it')
  await smaller.close()
})

t.test('whatever a crash or a stranger left in its files, no wrong block is served', async (t) => {
  const directory = place(t)
  const dice = new Dice(11)
  for (let round = 0; round < 30; round++) {
    const cache = await openDiskCache({ directory, size, log })
    const mine = cache.of('me')
    for (let number = 0; number < 30; number++) {
      const found = await mine.get('v', number)
      if (found && !found.equals(block(`${number} `))) t.fail(`another block in place of ${number}`)
      mine.put('v', number, block(`${number} `))
    }
    t.ok((await stored(mine, 'v', 29)).equals(block('29 ')))
    await cache.close()
    for (const name of ['index', 'blocks']) {
      const file = join(directory, name)
      const bytes = readFileSync(file)
      for (let count = 0; count < 10; count++) bytes[dice.below(bytes.length)] = dice.below(256)
      // A block in the place of another one.
      bytes.copyWithin(dice.below(4) * 65536, dice.below(4) * 65536, dice.below(4) * 65536 + 65536)
      writeFileSync(file, bytes.subarray(0, bytes.length - dice.below(3) * 40))
    }
  }
})

t.test('a directory that others may look into is refused, and so is a size of nothing', async (t) => {
  const directory = place(t)
  t.equal(await code(openDiskCache({ directory, size: 1000, log })), 'invalid')
  await (await openDiskCache({ directory, size, log })).close()
  t.equal(statSync(directory).mode & 0o777, 0o700)
  chmodSync(directory, 0o755)
  t.equal(await code(openDiskCache({ directory, size, log })), 'invalid')
})

t.test('small reads of a file that has rested are served from it, those of one that changes are not', async (t) => {
  const directory = place(t)
  const disk = await openDiskCache({ directory, size, log })
  const cache = disk.of('me')
  const bytes = new Bytes(Buffer.alloc(2 ** 20, 'portolan'))
  const largest = { read: 2 ** 20, write: 2 ** 20 }
  const read = async (offset: number) => {
    const store = createFileStore({ largest, cache })
    const file = store.open(1, bytes.open('read'))
    const got = Buffer.concat(await file.read(offset, 4096))
    t.ok(got.equals(bytes.content.subarray(offset, offset + 4096)))
    await store.close()
  }
  const asked = () => bytes.requests.filter(({ what }) => what === 'read').length
  await read(4096)
  await stored(cache, 'object\nv1', 0)
  await read(8192)
  t.equal(asked(), 1, 'the second one comes from the disk')
  bytes.put(Buffer.from('other'), 8192)
  await read(8192)
  t.equal(asked(), 2, 'another version')
  bytes.modified = BigInt(Date.now()) * 1_000_000n
  bytes.version++
  await read(8192)
  await read(8192)
  t.equal(asked(), 4, 'it was changed just now')
  await disk.close()
})
