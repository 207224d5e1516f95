import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { formatNfs4Text, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { acesFromJson, changedInTree, requireForTree } from '../../gateway/cli/acl-changes.ts'
import { treeMeter } from '../../gateway/cli/acl-meter.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { StorageOperations } from '../../gateway/core/storage.ts'
import {
  ace,
  aclOf,
  alice,
  callOf,
  identity,
  looking,
  openDoor,
  person,
  type SettingOptions,
  store,
} from '../http/door.ts'
import { portolan, type RunOptions, scratch } from './running.ts'

// Each command is a process of its own.
t.setTimeout(120_000)

const list = 'A::OWNER@:rwaxtTnNcCy\nD::bob@desy.de:w\nA:g:p01@desy.de:rxtcy\n'
const lines = list.trim().split('\n')

t.test('entries are made to fit files', async (t) => {
  const aces = parseNfs4Text(list, 'file')
  const on = (kind: 'file' | 'directory', change: Parameters<typeof changedInTree>[2]) =>
    formatNfs4Text(changedInTree(aces, kind, change))
      .trim()
      .split('\n')
  const heritable = 'A:fd:carol@desy.de:rxD'
  t.same(on('directory', { action: 'add', spec: heritable }), ['A:fd:carol@desy.de:rDx', ...lines])
  t.same(on('file', { action: 'add', spec: heritable }), ['A::carol@desy.de:rx', ...lines])
  t.same(on('file', { action: 'add', spec: 'A:fi:carol@desy.de:r' }), ['A::carol@desy.de:r', ...lines])
  t.same(on('file', { action: 'add', spec: 'A:di:carol@desy.de:r' }), lines, 'for directories below alone')
  t.same(on('file', { action: 'add', spec: 'A::carol@desy.de:r', index: 9 }).at(-1), 'A::carol@desy.de:r', 'at the end')
  t.same(on('file', { action: 'remove', spec: 'D:fd:bob@desy.de:w' }), lines.toSpliced(1, 1))
  t.same(on('file', { action: 'remove', spec: 'D::eve@desy.de:w' }), lines, 'it need not be there')
  t.same(
    on('file', { action: 'modify', from: 'D:fd:bob@desy.de:w', to: 'D:fd:bob@desy.de:wa' }),
    lines.with(1, 'D::bob@desy.de:wa'),
  )
  t.same(on('file', { action: 'replace', spec: 'A:fdn:OWNER@:rw D:fdi:bob@desy.de:w' }), [
    'A::OWNER@:rw',
    'D::bob@desy.de:w',
  ])
  t.throws(() => requireForTree({ action: 'remove', spec: '2' }))
  const json = JSON.stringify({
    path: '/a',
    etag: '"1"',
    aces: [{ type: 'allow', who: 'OWNER@', rights: 'r', flags: 'fd' }],
  })
  t.equal(formatNfs4Text(acesFromJson(json)), 'A:fd:OWNER@:r\n')
  for (const wrong of ['{', '[]', '{"aces":[{}]}', '{"aces":[],"more":1}', 'null'])
    t.throws(() => acesFromJson(wrong), wrong)
})

t.test('progress is a bar at a terminal, and now and then a line elsewhere', async (t) => {
  const written: string[] = []
  const captured = t.capture(process.stderr, 'write', (text: unknown) => written.push(String(text)) > 0)
  t.ok(captured)
  const bar = treeMeter('acl', true)
  bar.show({ found: 10, done: 4, refused: 1 })
  bar.show({ found: 10, done: 5, refused: 1 })
  bar.clear()
  bar.clear()
  const last = '\r\x1b[K'
  t.same(written, [`${last}acl [${'#'.repeat(12)}xxx${'-'.repeat(15)}] 4 of 10 found, 1 refused`, last])
  written.length = 0
  const lines = treeMeter('acl', false)
  for (let done = 0; done <= 2500; done += 50) lines.show({ found: 3000, done, refused: 0 })
  lines.clear()
  t.same(written, ['acl: 1000 of 3000 found\n', 'acl: 2000 of 3000 found\n'])
})

/** /data/t with directories a, a/b and hidden, six files and a link; hidden is alice's no more. */
async function world(t: Test, options: SettingOptions = {}) {
  const setting = await openDoor(t, { acl: letters(aclOf(ace('EVERYONE@', looking))), ...options })
  const { storage, backend } = setting
  for (const path of ['/data/t', '/data/t/a', '/data/t/a/b', '/data/t/hidden', '/data/t/empty']) {
    await storage.mkdir(callOf(alice), parsePath(path))
  }
  for (const path of [
    '/data/t/1',
    '/data/t/a/2',
    '/data/t/a/3',
    '/data/t/a/b/4',
    '/data/t/hidden/5',
    '/data/t/ü "x"',
  ]) {
    await store(storage, path, 'x')
  }
  backend.addLink(parsePath('/t/link'), '/data/t/a')
  const strange = {
    ...aclOf(),
    owner: 'eve@desy.de',
    aces: [ace({ user: 'eve@desy.de' }, 0x1f01ff), ace('EVERYONE@', 0x1200a9)],
  }
  backend.replaceAcl(parsePath('/t/a/3'), letters(strange))
  backend.replaceAcl(parsePath('/t/hidden'), letters({ ...strange, aces: strange.aces.slice(0, 1) }))
  const env = { PORTOLAN_URL: `http://127.0.0.1:${setting.port}`, BEARER_TOKEN: 'alice' }
  const run = (words: readonly string[], options: RunOptions = {}) =>
    portolan(words, { ...options, env: { ...env, ...options.env } })
  const aclText = async (path: string) =>
    formatNfs4Text((await storage.getAcl(callOf(person('alice', { administrator: true })), parsePath(path))).acl.aces)
  return { ...setting, run, env, aclText }
}

/** Only rights that have a letter. */
function letters<A extends ReturnType<typeof aclOf>>(acl: A): A {
  return { ...acl, aces: acl.aces.map((one) => ({ ...one, mask: one.mask & 0x1f01ff })) }
}

const entry = 'A:fd:carol@desy.de:rxtc'

t.test('a tree is changed, and what is refused is told and does not end it', async (t) => {
  const { run, aclText } = await world(t)
  const tried = await run(['acl', 'set', '-R', '--dry-run', '-a', entry, '/data/t'])
  t.equal(tried.code, 1, tried.stderr)
  t.match(tried.stdout, /^# file: \/data\/t\/a\/2\n\+A::carol@desy\.de:rxtc\n/m)
  t.match(tried.stdout, /^# file: \/data\/t\/a\n\+A:fd:carol@desy\.de:rxtc\n/m)
  t.match(tried.stdout, /^8 would change, 0 as wanted already, 2 refused, 1 links and special files left alone$/m)
  t.notMatch(await aclText('/data/t'), /carol/, 'nothing has changed')
  const done = await run(['acl', 'set', '--recursive', '--add', entry, '/data/t'])
  t.equal(done.code, 1)
  t.match(done.stdout, /^8 changed, 0 as wanted already, \d refused, 1 links and special files left alone$/m)
  t.match(done.stderr, /^portolan: \/data\/t\/a\/3: /m)
  t.match(done.stderr, /^portolan: \/data\/t\/hidden: /m)
  for (const path of ['/data/t', '/data/t/a', '/data/t/a/b', '/data/t/empty'])
    t.match(await aclText(path), /^A:fd:carol@/, path)
  for (const path of ['/data/t/1', '/data/t/a/2', '/data/t/a/b/4', '/data/t/ü "x"']) {
    t.match(await aclText(path), /^A::carol@desy\.de:rxtc$/m, path)
  }
  const before = await aclText('/data/t/1')
  const removed = await run(['acl', 'set', '-R', '-x', entry, '/data/t/a'])
  t.match(removed.stdout, /^4 changed, 1 as wanted already$/m)
  t.notMatch(await aclText('/data/t/a/2'), /carol/)
  t.equal(await aclText('/data/t/1'), before)
})

t.test('one kind alone, from JSON, with a line for each object', async (t) => {
  const { run, aclText } = await world(t)
  const directory = scratch(t)
  const file = join(directory, 'acl.json')
  const shown = await run(['acl', 'get', '--json', '/data/t/1'])
  const acl = JSON.parse(shown.stdout)
  acl.aces.push({ type: 'allow', who: 'group:p01@desy.de', rights: 'rtc', flags: 'fd' })
  writeFileSync(file, JSON.stringify(acl))
  const files = await run(['acl', 'set', '-R', '--files-only', '--json', '-J', file, '/data/t/a/b'])
  t.equal(files.code, 0, files.stderr)
  const told = files.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(told, [
    { path: '/data/t/a/b/4', outcome: 'changed' },
    { changed: 1, unchanged: 0, refused: 0, interrupted: false },
  ])
  t.match(await aclText('/data/t/a/b/4'), /^A:g:p01@desy\.de:rtc$/m)
  t.notMatch(await aclText('/data/t/a/b'), /p01/)
  const directories = await run(['acl', 'set', '-R', '--directories-only', '-J', file, '/data/t/a'])
  t.match(directories.stdout, /^2 changed, 0 as wanted already$/m)
  t.match(await aclText('/data/t/a/b'), /^A:fdg:p01@desy\.de:rtc$/m)
  const single = await run(['acl', 'set', '--json-file', file, '/data/t/1'])
  t.equal(single.code, 0, single.stderr)
  t.match(await aclText('/data/t/1'), /p01/)
})

t.test('mistakes are told before anything is changed', async (t) => {
  const { run, aclText } = await world(t)
  for (const words of [
    ['-R', '-x', '1', '/data/t'],
    ['-R', '--files-only', '--directories-only', '-a', entry, '/data/t'],
    ['--files-only', '-a', entry, '/data/t'],
    ['-R', '-a', 'nonsense', '/data/t'],
    ['-R', '-a', entry, '/data/t/link'],
    ['-J', '/nonexistent', '/data/t'],
  ]) {
    const { code, stderr } = await run(['acl', 'set', ...words])
    t.ok(code === 2 || code === 1, `${words.join(' ')}: ${stderr}`)
    t.match(stderr, /^portolan: /)
  }
  t.notMatch(await aclText('/data/t'), /carol/)
  const locked = await run(['acl', 'set', '-R', '-s', 'A:di:carol@desy.de:r', '/data/t/a/b/4'])
  t.equal(locked.code, 1)
  t.match(locked.stderr, /lock everybody out/)
})

t.test('a directory that opens by the change is gone into, one that closes is changed last', async (t) => {
  const { run, backend, storage, aclText } = await world(t)
  const blind = { ...aclOf(), aces: [ace({ user: 'alice@desy.de' }, 0x60080)] }
  backend.replaceAcl(parsePath('/t/a'), blind)
  const opened = await run(['acl', 'set', '-R', '-s', 'A:fd:alice@desy.de:rwaDdxtTnNcCoy', '/data/t/a/b'])
  t.equal(opened.code, 1, 'the way is closed')
  const all = await run(['acl', 'set', '-R', '-a', 'A:fd:alice@desy.de:rwaDdxtTnNcCoy', '/data/t/a'])
  t.match(all.stdout, /^4 changed, 0 as wanted already, 1 refused$/m, all.stderr)
  const closing = await run(['acl', 'set', '-R', '-s', 'A:fd:alice@desy.de:tcC', '/data/t/a'])
  t.match(closing.stdout, /^4 changed, 0 as wanted already, 1 refused$/m, closing.stderr)
  await t.rejects(storage.list(callOf(alice), parsePath('/data/t/a')), { code: 'denied' })
  t.match(await aclText('/data/t/a'), /^A:fd:alice@desy\.de:tcC$/m)
})

t.test('an interrupt lets go cleanly and says what was done', async (t) => {
  let begin: () => void = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })
  let release: () => void = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let sets = 0
  const around = (storage: StorageOperations): StorageOperations =>
    new Proxy(storage, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function') return value
        if (key !== 'setAcl') return value.bind(target)
        return async (...args: unknown[]) => {
          if (++sets === 3) begin()
          if (sets >= 3) await released
          return Reflect.apply(value, target, args)
        }
      },
    })
  const { env, port, storage } = await openDoor(t, { around }).then((setting) => ({
    ...setting,
    env: { PORTOLAN_URL: `http://127.0.0.1:${setting.port}`, BEARER_TOKEN: 'alice' },
  }))
  t.ok(port > 0)
  await storage.mkdir(callOf(alice), parsePath('/data/many'))
  for (let number = 0; number < 100; number++) await store(storage, `/data/many/${number}`, 'x')
  const program = join(import.meta.dirname, '../../gateway/cli.ts')
  const child = spawn(process.execPath, [program, 'acl', 'set', '-R', '-a', 'D::eve@desy.de:w', '/data/many'], {
    env: { PATH: process.env.PATH, ...env },
  })
  const output = text(child.stdout)
  const errors = text(child.stderr)
  const ended = once(child, 'exit')
  await begun
  child.kill('SIGINT')
  release()
  const [code] = await ended
  t.equal(code, 130, await errors)
  const [, changed = ''] = /^Interrupted: (\d+) changed, 0 as wanted already$/m.exec(await output) ?? []
  t.equal(Number(changed), sets, 'all that were begun have ended and are counted')
  t.ok(Number(changed) < 100, `${changed} of 101`)
})

t.test('who may is asked and shown', async (t) => {
  async function* principals() {
    for (const name of ['alice', 'bob', 'e\u001b[31mve']) yield person(name)
  }
  const { run } = await world(t, {
    identity: { ...identity, people: () => ({ principals: principals(), unlisted: [] }) },
  })
  const told = await run(['acl', 'who', '/data/t/1'])
  t.equal(told.code, 0, told.stderr)
  t.match(told.stdout, /^# owner: alice@desy\.de$/m)
  t.match(told.stdout, /^# may read: 3 of 3 accounts, and callers without a credential$/m)
  t.match(told.stdout, /^alice@desy\.de +yes +the ACL grants READ_DATA: A:/m)
  t.notMatch(told.stdout, /\u001b/)
  const writers = await run(['acl', 'who', '--all', '--json', '/data/t/1', 'replace'])
  t.match(JSON.parse(writers.stdout).users, [
    { allowed: true },
    { user: 'bob@desy.de', allowed: false },
    { allowed: false },
  ])
  t.equal((await run(['acl', 'who', '/data/t/1', 'fly'])).code, 2)
  t.equal((await run(['acl', 'who', '/data/t/hidden/5'])).code, 1)
})
