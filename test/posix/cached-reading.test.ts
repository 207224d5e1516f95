import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readCached } from '../../backends/posix/native/cached-reading.ts'

const directory = mkdtempSync(join(tmpdir(), 'portolan-cached-'))
t.teardown(() => rmSync(directory, { recursive: true }))

t.test('what is in memory is read as it is, into the very bytes that were meant', async (t) => {
  const file = join(directory, 'file')
  writeFileSync(file, 'hello world')
  const fd = openSync(file, 'r')
  t.teardown(() => closeSync(fd))
  const whole = new Uint8Array(32).fill(46)
  const found = readCached(fd, whole.subarray(8, 16), 6)
  if (found === undefined) {
    t.pass('this file system cannot tell')
    return
  }
  t.equal(found, 5)
  t.equal(Buffer.from(whole).toString(), '........world...................')
  t.equal(readCached(fd, whole, 11), 0, 'the end')
  t.equal(readCached(fd, whole, 2 ** 40), 0)
})

t.test('holes beyond four gigabytes are found where they are', async (t) => {
  const fd = openSync(join(directory, 'big'), 'w+')
  t.teardown(() => closeSync(fd))
  ftruncateSync(fd, 2 ** 33)
  const into = new Uint8Array(4).fill(1)
  // What was never read is not in memory, and may be told so.
  t.ok([4, undefined].includes(readCached(fd, into, 2 ** 32 + 10)))
})

t.test('what cannot be read is nothing', async (t) => {
  t.equal(readCached(-1, new Uint8Array(4), 0), undefined)
  const fd = openSync(directory, 'r')
  t.teardown(() => closeSync(fd))
  t.equal(readCached(fd, new Uint8Array(4), 0), undefined)
})
