/** Mounts of a real directory tree, through a gateway in processes of its own. */

import { appendFileSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { named } from '../gateway/people.ts'
import { everything, Guarded, openToAll } from '../gateway/tree.ts'
import { FsClient } from './client.ts'

t.setTimeout(120_000)

const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/data',
      make: (top) => {
        const tree = new Guarded(top)
        tree.directory('', 'alice', openToAll)
        tree.directory('many', 'alice', openToAll)
        tree.file('big', 'alice', Buffer.alloc(9_000_000, 'portolan '), openToAll)
        tree.file('dropbox', 'alice', 'secret', [`A::OWNER@:${everything}`, `A::${named('bob')}:watTnNcy`])
        for (const name of ['log', 'shrinks', 'gone']) tree.file(name, 'alice', 'first line\n', openToAll)
      },
    },
  ],
})
const top = gateway.tree('/data')

async function mount(user: 'alice' | 'bob' = 'alice'): Promise<FsClient> {
  const client = new FsClient(gateway.port, await gateway.standingToken(user))
  const { status } = await client.begin()
  if (status !== 201) throw new Error(`no session: ${status}`)
  return client
}

t.test('reads are exact, whatever their size and place', async (t) => {
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/big' })
  const handle = String(json.handle)
  const whole = readFileSync(join(top, 'big'))
  for (const [offset, length] of [
    [0, 1],
    [0, 4096],
    [8_999_000, 4096],
    [0, 65_536],
    [1, 65_537],
    [4_000_000, 4_194_304],
    [8_000_000, 4_194_304],
    [9_000_000, 10],
    [2 ** 52, 10],
    [5, 0],
  ] as const) {
    const { status, body } = await client.read(handle, offset, length)
    t.equal(status, 200)
    t.ok(body.equals(whole.subarray(offset, offset + length)), `${length} bytes at ${offset}`)
  }
  t.match((await client.read(handle, 0, 4_194_305)).json, { code: 'too-large' })
  t.match((await client.read(handle, 2 ** 53, 1)).json, { code: 'invalid' })
})

t.test('an open file shows what others write to it, and its attributes do', async (t) => {
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/log' })
  const handle = String(json.handle)
  t.equal((await client.read(handle, 0, 100)).body.toString(), 'first line\n')
  appendFileSync(join(top, 'log'), 'second line\n')
  t.equal((await client.read(handle, 11, 100)).body.toString(), 'second line\n')
  t.match((await client.op('fstat', { handle })).json, { size: 23 })
  renameSync(join(top, 'log'), join(top, 'log.1'))
  t.match((await client.op('fstat', { handle })).json, { size: 23 }, 'also under another name')
  t.equal((await client.read(handle, 0, 5)).body.toString(), 'first')
})

t.test('a file that becomes shorter is not answered with bytes that are none', async (t) => {
  writeFileSync(join(top, 'shrinks'), Buffer.alloc(300_000, 1))
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/shrinks' })
  const handle = String(json.handle)
  t.equal((await client.read(handle, 0, 300_000)).body.length, 300_000)
  truncateSync(join(top, 'shrinks'), 100)
  await t.rejects(client.read(handle, 0, 300_000), 'the connection is cut')
  t.equal((await client.read(handle, 0, 300_000)).body.length, 100, 'and the next one knows')
  for (const [before, after] of [
    [300_000, 0],
    [300_000, 150_000],
  ] as const) {
    writeFileSync(join(top, 'shrinks'), Buffer.alloc(before, 1))
    await client.read(handle, 0, before)
    truncateSync(join(top, 'shrinks'), after)
    const { status, body } = await client.read(handle, 150_000, 150_000)
    t.same([status, body.length], [200, 0], 'the end of the file is no error')
  }
})

t.test('a file is made, written in any order, cut, synced and is there', async (t) => {
  const client = await mount()
  const create = { exclusive: true, mode: 0o640 }
  const { json } = await client.op('open', { path: '/data/new', write: true, create })
  t.match(json, { kind: 'edit', created: true, attributes: { size: 0, mine: true } })
  const handle = String(json.handle)
  const block = Buffer.alloc(1_048_576, 'x')
  t.equal((await client.write(handle, 1_048_576, block)).status, 204)
  t.equal((await client.write(handle, 0, 'begin')).status, 204)
  t.match((await client.op('fstat', { handle })).json, { size: 2_097_152 })
  t.equal((await client.read(handle, 0, 7)).body.toString(), 'begin\0\0')
  t.equal((await client.op('truncate', { handle, size: 10 })).status, 200)
  t.equal((await client.op('sync', { handle })).status, 200)
  t.equal(readFileSync(join(top, 'new'), 'latin1'), 'begin\0\0\0\0\0')
  t.match((await client.op('open', { path: '/data/new', write: true, create })).json, { code: 'exists' })
  t.match((await client.write(handle, 0, Buffer.alloc(1_048_577))).json, { code: 'too-large' })
})

t.test('names that are gone do not take the open file away', async (t) => {
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/gone', write: true })
  t.equal((await client.op('remove', { path: '/data/gone', type: 'file' })).status, 200)
  t.equal((await client.write(String(json.handle), 0, 'still')).status, 204)
  t.equal((await client.read(String(json.handle), 0, 5)).body.toString(), 'still')
  t.match((await client.op('fstat', { handle: json.handle })).json, { links: 0 })
  const { id } = json.attributes as { id: string }
  const create = { exclusive: false, mode: 0o644 }
  t.match((await client.op('open', { path: '/data/gone', create })).json, { created: true })
  t.match((await client.op('open', { path: '/data/gone', id })).json, { code: 'stale' })
})

t.test('a file that has got the number of one that is gone is not taken for it', async (t) => {
  const client = await mount()
  const path = '/data/reused'
  const make = async () => {
    const { json } = await client.op('open', { path, create: { exclusive: true, mode: 0o600 } })
    await client.op('release', { handle: json.handle })
    return { ...statSync(join(top, 'reused'), { bigint: true }), id: (json.attributes as { id: string }).id }
  }
  for (let left = 50; left > 0; left--) {
    const before = await make()
    await client.op('remove', { path, type: 'file' })
    const now = await make()
    if (now.ino === before.ino && now.birthtimeNs !== before.birthtimeNs) {
      t.match((await client.op('open', { path, id: before.id })).json, { code: 'stale' })
      t.match((await client.op('open', { path, id: before.id, write: true })).json, { code: 'stale' })
      await client.op('rename', { path, to: '/data/renamed', how: 'absent' })
      const known = await client.op('open', { path: '/data/renamed', id: now.id, write: true })
      t.match(known.json, { kind: 'edit' }, 'names do not matter')
      return
    }
    await client.op('remove', { path, type: 'file' })
  }
  t.pass('skipped: this file system does not use numbers of files again, or keeps no times of birth')
})

t.test('a listing comes in pages, and each page can be asked for again', async (t) => {
  for (let index = 0; index < 2500; index++) writeFileSync(join(top, `many/${index}`), '')
  const client = await mount()
  const names = new Set<string>()
  let cursor: unknown
  const sizes: number[] = []
  do {
    const members = { path: '/data/many', ...(cursor !== undefined && { cursor }) }
    const { json, body } = await client.op('list', members)
    if (cursor !== undefined) t.ok((await client.op('list', members)).body.equals(body), 'the same page')
    const entries = json.entries as { name: string }[]
    sizes.push(entries.length)
    for (const { name } of entries) names.add(name)
    cursor = json.cursor
  } while (cursor !== undefined)
  t.same(sizes, [128, 256, 512, 1000, 604])
  t.equal(names.size, 2500)
  t.match((await client.op('list', { path: '/data/many', cursor: '1.1' })).json, { code: 'invalid' })
})

t.test('objects are made, moved, changed and removed', async (t) => {
  const client = await mount()
  const done = async (name: string, members: object) => {
    const { status, json } = await client.op(name, members)
    t.equal(status, 200, `${name} ${JSON.stringify(json)}`)
    return json
  }
  t.match(await done('mkdir', { path: '/data/d', mode: 0o750 }), { type: 'directory' })
  t.match(await done('mkdir', { path: '/data/e', mode: 0o750 }), { type: 'directory' })
  t.match(await done('symlink', { path: '/data/d/l', target: '../log' }), { type: 'symlink', target: '../log' })
  t.match(await done('rename', { path: '/data/d/l', to: '/data/d/m', how: 'absent' }), { type: 'symlink' })
  t.match(await done('link', { path: '/data/big', to: '/data/d/big' }), { links: 2, size: 9_000_000 })
  t.match((await client.op('rename', { path: '/data/d/m', to: '/data/d/big', how: 'absent' })).json, { code: 'exists' })
  await done('rename', { path: '/data/d', to: '/data/e', how: 'exchange' })
  t.match(await done('stat', { path: '/data/e/big' }), { size: 9_000_000 })
  t.match(await done('change', { path: '/data/e/big', size: 5, modified: '1000000000' }), {
    size: 5,
    modified: '1000000000',
  })
  t.equal(statSync(join(top, 'big')).size, 5)
  t.match((await client.op('remove', { path: '/data/e', type: 'file' })).json, { code: 'is-directory' })
  t.match((await client.op('remove', { path: '/data/e', type: 'directory' })).json, { code: 'not-empty' })
  t.match((await client.op('remove', { path: '/data/e/m', type: 'directory' })).json, { code: 'not-directory' })
  await done('remove', { path: '/data/e/m', type: 'file' })
})

t.test('every request is a call of the protocol fuse in the audit log', async (t) => {
  const client = await mount()
  const line = await gateway.auditOf(await client.op('stat', { path: '/data/big' }))
  t.match(line, { door: 'fuse', action: 'stat', path: '/data/big', user: 'alice@lab.example' })
})

t.test('whoever may only look is refused to write, and told so when he opens', async (t) => {
  const client = await mount('bob')
  t.match((await client.op('stat', { path: '/data/big' })).json, { mine: false })
  t.match((await client.op('open', { path: '/data/big', write: true })).json, { code: 'denied' })
  t.match((await client.op('mkdir', { path: '/data/x', mode: 0o777 })).json, { code: 'denied' })
})

t.test('who may write and not read opens for writing, and for both not', async (t) => {
  const [owner, other] = [await mount(), await mount('bob')]
  const path = '/data/dropbox'
  t.equal((await other.op('open', { path, write: true })).status, 200)
  t.match((await other.op('open', { path, write: true, read: true, truncate: true })).json, { code: 'denied' })
  t.match((await owner.op('stat', { path })).json, { size: 6 }, 'nothing was emptied')
  t.equal((await owner.op('open', { path, write: true, read: true })).status, 200)
})

t.test(
  'the mode of a new directory counts where there is nothing to inherit, and opens nothing where there is',
  async (t) => {
    const client = await mount()
    const aclOf = async (path: string) => {
      const { json } = await client.op('get-acl', { path })
      return (json.aces as { who: string; rights: string }[]).map(({ who, rights }) => `${who}:${rights}`)
    }
    t.match((await client.op('mkdir', { path: '/data/private', mode: 0o700 })).json, { mode: 0o700 })
    t.match((await client.op('mkdir', { path: '/data/passing', mode: 0o777 })).json, { mode: 0o777 })
    const aces = [
      { type: 'allow', who: 'OWNER@', rights: 'rwaDdxtTnNcCoy', flags: 'fd' },
      { type: 'allow', who: 'EVERYONE@', rights: 'rxtncy', flags: 'fd' },
    ]
    t.equal((await client.op('set-acl', { path: '/data/passing', acl: { aces } })).status, 200)
    for (const mode of [0o700, 0o777]) {
      const path = `/data/passing/${mode}`
      t.match((await client.op('mkdir', { path, mode })).json, { mode: 0o755 })
      t.same(await aclOf(path), ['OWNER@:rwaDdxtTnNcCoy', 'EVERYONE@:rxtncy'])
    }
  },
)

t.test('the audit line of an open file is written at its close, with the bytes that were read', async (t) => {
  writeFileSync(join(top, 'big'), Buffer.alloc(1_000_000))
  const client = await mount()
  const opened = await client.op('open', { path: '/data/big' })
  const handle = String(opened.json.handle)
  await client.read(handle, 0, 100)
  await client.read(handle, 0, 1_000_000)
  await client.op('release', { handle })
  t.match(await gateway.auditOf(opened), { door: 'fuse', action: 'read', outcome: 'ok', bytes: 1_000_100 })
})
