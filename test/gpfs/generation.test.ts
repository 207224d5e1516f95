/** One inode number, several objects: what tells them apart. */

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Entry, Trail } from '../../backends/backend.ts'
import { FetchedAcls } from '../../backends/gpfs/fetched-acls.ts'
import * as sys from '../../backends/posix/native/sys.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { openAcl } from './backend-world.ts'
import { calm } from './world.ts'

t.test('a file handle is the same by name and by descriptor, and another after the inode was used again', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-handles-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const fd = openSync(directory, 'r')
  t.teardown(() => closeSync(fd))
  if (sys.fileHandle(fd, '') === undefined) {
    t.comment('the file system of the temporary directory has no handles')
    return
  }
  const seen = new Map<bigint, string>()
  let again = 0
  for (let i = 0; i < 50; i++) {
    writeFileSync(join(directory, 'f'), '')
    const open = sys.openat(fd, 'f', sys.O_PATH, 0)
    const handle = sys.fileHandle(open, '') ?? ''
    t.equal(sys.fileHandle(fd, 'f'), handle)
    const { ino } = sys.fstat(open)
    if (seen.has(ino)) {
      again++
      t.not(seen.get(ino), handle)
    }
    seen.set(ino, handle)
    sys.close(open)
    rmSync(join(directory, 'f'))
  }
  t.comment(`an inode was used again ${again} times`)
  t.throws(() => sys.fileHandle(fd, 'f'), { code: 'ENOENT' })
  const proc = sys.openat(sys.AT_FDCWD, '/proc', sys.O_PATH, 0)
  t.equal(sys.fileHandle(proc, ''), undefined, 'a file system without handles')
  sys.close(proc)
})

t.test('what is remembered of an inode is not taken for the next object with its number and ctime', async (t) => {
  const reads: string[] = []
  const acls = new FetchedAcls({
    provider: {
      kind: 'commands',
      read: async (path) => {
        reads.push(path)
        return { acl: openAcl, writable: true }
      },
      write: async () => {},
    },
    root: '/gpfs',
    snapshotDirectory: '.snapshots',
    remembered: 10,
    clockTolerance: 2000,
    writing: 'never',
    requireWritable: async () => {},
    trouble: () => {},
  })
  const entryOf = (generation?: string): Entry => ({
    name: '',
    type: 'directory',
    size: 0,
    modified: 1n,
    changed: 1n,
    version: 'v',
    id: '1a',
    ...(generation !== undefined && { generation }),
  })
  const look = async (entry: Entry) => {
    const trail: Trail = { ancestors: [], parentExists: true, entry }
    const done = await acls.complete(trail, parsePath('/'), 'all', async () => trail, calm)
    t.ok(done.trail.entry?.acl)
    return reads.length
  }
  t.equal(await look(entryOf('one')), 1)
  t.equal(await look(entryOf('one')), 1)
  t.equal(await look(entryOf('two')), 2)
  t.equal(await look(entryOf('two')), 2)
  // Where none is told, inode and ctime are what there is.
  t.equal(await look(entryOf()), 3)
  t.equal(await look(entryOf()), 3)
  const young = { ...entryOf('two'), changed: BigInt(Date.now()) * 1_000_000n }
  t.equal(await look(young), 4)
  t.equal(await look(young), 5, 'it may change again within one tick, and look the same')
})
