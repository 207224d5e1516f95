/** Replacing a file that has mode bits alone where what is made there inherits a list. */

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Handles } from '../../backends/posix/handles.ts'
import { setupOf } from '../../backends/posix/options.ts'
import { prepare } from '../../backends/posix/staging.ts'
import { makeWorkshop } from '../../backends/posix/workshop.ts'
import { openAcl } from './backend-world.ts'

t.test('a file without a list of its own does not get one that its place inherits', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-replacing-'))
  for (const name of ['old', 'draft']) writeFileSync(join(directory, name), name)
  const [top, old, draft] = ['', 'old', 'draft'].map((name) => openSync(join(directory, name), 'r')) as [
    number,
    number,
    number,
  ]
  t.teardown(() => {
    for (const fd of [top, old, draft]) closeSync(fd)
    rmSync(directory, { recursive: true })
  })
  const lists = new Map([[draft, openAcl]])
  const library = { read: (fd: number) => lists.get(fd), write: () => {} }
  const setup = setupOf({ root: directory, grade: 'gateway', acl: [] }, new Handles().claims)
  const real = makeWorkshop(setup, 0, () => {}, library)
  const fds = [top, draft]
  const shop = { ...real, using: <T>(_: unknown, work: (fd: number) => T): T => work(fds.shift() ?? -1) }
  real.maker.isExpected = () => true
  const handle = {} as Parameters<typeof prepare>[1]['draft']
  const expected = { id: '', changed: 0n }
  const args = { draft: handle, parent: handle, name: 'old', expected, marker: 'user.m', dropped: 'user.d' }
  t.match(prepare(shop, args), { kept: false }, 'so the bytes are copied into the old file')
  lists.clear()
  fds.push(top, draft)
  t.match(prepare(shop, args), { kept: true })
})
