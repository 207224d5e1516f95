/** New files of storage that is not written in place, and what breaks on the way. */

import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { connectFs } from '../../mounts/client/fs/connect.ts'
import { openFs } from '../api-fs/client.ts'
import { store } from '../http/door.ts'
import { Between } from './between.ts'
import { fixedToken } from './fixed-token.ts'

const path = parsePath
const anew = { write: true, create: { exclusive: false, mode: 0o600 } }

/** As object stores are. */
function withoutEditing(storage: Storage): StorageOperations {
  const edit = async () => {
    throw new StorageError('unsupported', 'files of this mount cannot be changed in place')
  }
  return new Proxy<StorageOperations>(storage, {
    get: (target, name) => {
      if (name === 'edit') return edit
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** `endSessions` resolves when the mount has noticed. */
async function world(t: Test, options: Parameters<typeof openFs>[1] = { around: withoutEditing }) {
  let revoked = false
  let over = Promise.withResolvers<void>()
  const setting = await openFs(t, { ...options, fs: { isRevoked: () => revoked } })
  const between = await Between.start(t, setting.port)
  const fs = await connectFs({
    origin: new URL(between.url),
    source: fixedToken(new Secret('alice'), 'the test'),
    timeout: 20_000,
    log: (line) => {
      if (line.includes('session')) over.resolve()
    },
  })
  t.teardown(() => fs.close())
  const endSessions = async () => {
    over = Promise.withResolvers()
    revoked = true
    await over.promise
    revoked = false
  }
  return { ...setting, between, fs, endSessions }
}

t.test('a draft is written in order and seen after its commit', async (t) => {
  const { fs } = await world(t)
  const file = await fs.open(path('/data/new'), anew)
  t.equal(file.kind, 'draft')
  await file.write(Buffer.alloc(2_500_000, 1), 0)
  await t.rejects(file.write(Buffer.alloc(10), 100), { code: 'unsupported' })
  await t.rejects(fs.stat(path('/data/new')), { code: 'not-found' })
  await file.write(Buffer.alloc(10, 2), 2_500_000)
  const done = await file.commit()
  t.equal(done?.size, 2_500_010)
  t.equal((await file.commit())?.size, 2_500_010, 'twice is once')
  await file.close()
  t.equal((await fs.stat(path('/data/new'))).size, 2_500_010)
  await t.rejects(fs.open(path('/data/new'), { write: true }), { code: 'unsupported' })
  const again = await fs.open(path('/data/new'), { write: true, truncate: true })
  await again.write(Buffer.from('abc'), 0)
  await again.truncate(0)
  await again.write(Buffer.from('de'), 0)
  await again.sync()
  t.equal((await fs.stat(path('/data/new'))).size, 2)
  const left = await fs.open(path('/data/left'), anew)
  await left.write(Buffer.from('abc'), 0)
  await left.close()
  await t.rejects(fs.stat(path('/data/left')), { code: 'not-found' })
})

t.test('bytes and a commit whose answers were lost count once', async (t) => {
  const { fs, between } = await world(t)
  const file = await fs.open(path('/data/new'), anew)
  await file.write(Buffer.from('first '), 0)
  const lose = () => {
    between.spoil({ down: 0 })
    setTimeout(() => between.spoil(undefined), 100)
  }
  lose()
  await file.write(Buffer.from('second'), 6)
  lose()
  t.equal((await file.commit())?.size, 12)
  t.equal((await fs.stat(path('/data/new'))).size, 12)
})

t.test('what was half written when the session ended is told, and never taken for whole', async (t) => {
  const { fs, endSessions } = await world(t)
  const file = await fs.open(path('/data/new'), anew)
  await file.write(Buffer.from('first'), 0)
  await endSessions()
  await fs.stat(path('/data'))
  await t.rejects(file.write(Buffer.from('second'), 5), { code: 'stale' })
  await t.rejects(file.commit(), { code: 'stale' })
  await t.rejects(fs.stat(path('/data/new')), { code: 'not-found' })
  await file.close()
})

t.test('a session that is over is followed by another one, and open files are found again', async (t) => {
  const { fs, endSessions } = await world(t, {})
  const file = await fs.open(path('/data/new'), anew)
  t.equal(file.kind, 'edit')
  await file.write(Buffer.from('first'), 0)
  const reader = await fs.open(path('/data/new'), {})
  const other = await fs.open(path('/data/other'), anew)
  await endSessions()
  await fs.remove(path('/data/other'), 'file')
  await file.write(Buffer.from(' second'), 5)
  const into = Buffer.alloc(100)
  t.equal(await reader.read(into, 0), 12)
  await t.rejects(other.read(into, 0), { code: 'stale' })
  await t.rejects(other.sync(), { code: 'stale' })
  await other.close()
})

t.test('a listing goes on in another session behind the last name', async (t) => {
  const { fs, storage, endSessions } = await world(t, {})
  const names = Array.from({ length: 1500 }, (_, index) => `file-${String(index).padStart(5, '0')}`)
  for (const name of names) await store(storage, `/data/${name}`, '')
  const seen: string[] = []
  for await (const page of fs.list(path('/data'))) {
    seen.push(...page.map(({ name }) => name))
    if (seen.length === 1000) await endSessions()
  }
  t.same(seen.toSorted(), names)
})
