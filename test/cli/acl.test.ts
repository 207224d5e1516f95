import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatNfs4Text, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { changed, diff } from '../../gateway/cli/acl-changes.ts'
import { ace, aclOf, looking, openDoor, store } from '../http/door.ts'
import { portolan, type RunOptions, scratch } from './running.ts'

const list = 'A::OWNER@:rwaxtTnNcCy\nD::bob@desy.de:w\nA:g:p01@desy.de:rxtcy\nA::EVERYONE@:tcy\n'
const aces = parseNfs4Text(list, 'file')
const after = (change: Parameters<typeof changed>[2]) =>
  formatNfs4Text(changed(aces, 'file', change))
    .trim()
    .split('\n')
const lines = list.trim().split('\n')

// Each command is a process of its own.
t.setTimeout(120_000)

t.test('actions change a list as those of nfs4_setfacl do', async (t) => {
  const spec = 'A::carol@desy.de:rtcy'
  t.same(after({ action: 'add', spec }), [spec, ...lines])
  t.same(after({ action: 'add', spec, index: 3 }), lines.toSpliced(2, 0, spec))
  t.same(after({ action: 'add', spec: `${spec},A::dave@desy.de:rtcy`, index: 5 }), [
    ...lines,
    spec,
    'A::dave@desy.de:rtcy',
  ])
  t.same(after({ action: 'remove', spec: '2' }), lines.toSpliced(1, 1))
  t.same(after({ action: 'remove', spec: 'D::bob@desy.de:w' }), lines.toSpliced(1, 1))
  t.same(after({ action: 'replace', spec }), [spec])
  t.same(after({ action: 'modify', from: 'A:g:p01@desy.de:rxtcy', to: spec }), lines.with(2, spec))
})

t.test('what is not in the list cannot be taken out of it', async (t) => {
  for (const change of [
    { action: 'remove', spec: 'D::bob@desy.de:r' },
    { action: 'remove', spec: '0' },
    { action: 'remove', spec: '5' },
    { action: 'add', spec: 'A::EVERYONE@:r', index: 6 },
    { action: 'modify', from: 'A::EVERYONE@:r', to: 'A::EVERYONE@:rx' },
  ] as const) {
    t.throws(() => changed(aces, 'file', change), JSON.stringify(change))
  }
  t.throws(() => changed(aces, 'file', { action: 'replace', spec: 'X::nobody:r' }), { code: 'invalid' })
})

t.test('a difference shows what went and what came', async (t) => {
  t.same(diff(['a', 'b', 'c'], ['a', 'x', 'c', 'd']), [' a', '-b', '+x', ' c', '+d'])
  t.same(diff([], ['a']), ['+a'])
  t.same(diff(['a'], []), ['-a'])
})

async function world(t: Test) {
  const acl = aclOf(ace('EVERYONE@', looking))
  // Only rights that have a letter.
  const setting = await openDoor(t, {
    acl: { ...acl, aces: acl.aces.map((one) => ({ ...one, mask: one.mask & 0x1f01ff })) },
  })
  await store(setting.storage, '/data/file', 'x')
  const env = { PORTOLAN_URL: `http://127.0.0.1:${setting.port}`, BEARER_TOKEN: 'alice' }
  const run = (words: readonly string[], options: RunOptions = {}) =>
    portolan(words, { ...options, env: { ...env, ...options.env } })
  return { run }
}

t.test('an ACL is shown and changed', async (t) => {
  const { run } = await world(t)
  const shown = await run(['acl', 'get', '/data/file'])
  t.equal(shown.code, 0, shown.stderr)
  t.match(shown.stdout, /^# file: \/data\/file\n# owner: alice@desy\.de\n# group: /)
  t.match(shown.stdout, /^A::EVERYONE@:rxtc$/m)
  const entry = 'D::mallory@desy.de:r'
  const tried = await run(['acl', 'set', '--test', '-a', entry, '/data/file'])
  t.match(tried.stdout, /^\+D::mallory@desy\.de:r$/m)
  t.notMatch((await run(['acl', 'get', '/data/file'])).stdout, /mallory/)
  const set = await run(['acl', 'set', '-a', entry, '/data/file'])
  t.equal(set.code, 0, set.stderr)
  t.match((await run(['acl', 'get', '/data/file'])).stdout, /^D::mallory@desy\.de:r$/m)
  t.equal((await run(['acl', 'set', '-x', '1', '/data/file'])).code, 0)
  t.notMatch((await run(['acl', 'get', '/data/file'])).stdout, /mallory/)
  const whole = await run(['acl', 'set', '-S', '-', '/data/file'], { input: `# all\n${list}` })
  t.equal(whole.code, 0, whole.stderr)
  const json = JSON.parse((await run(['acl', 'get', '--json', '/data/file'])).stdout)
  t.match(json, { path: '/data/file', etag: /^"/, owner: 'alice@desy.de' })
  t.equal(json.aces.length, 4)
})

t.test('mistakes in an ACL change nothing and say where they are', async (t) => {
  const { run } = await world(t)
  const before = (await run(['acl', 'get', '/data/file'])).stdout
  for (const [words, code] of [
    [['-a', 'A:bob:r'], 2],
    [['-x', '17'], 2],
    [['-a', 'A::EVERYONE@:r', '-x', '1'], 2],
    [[], 2],
    [['-m', 'A::EVERYONE@:r'], 2],
    [['--index', '2', '-x', '1'], 2],
  ] as const) {
    const run1 = await run(['acl', 'set', '/data/file', ...words])
    t.equal(run1.code, code, `${words.join(' ')}: ${run1.stderr}`)
    t.match(run1.stderr, /^portolan: /)
  }
  t.equal((await run(['acl', 'get', '/data/file'])).stdout, before)
  const denied = await run(['acl', 'set', '-x', '1', '/data/file'], { env: { BEARER_TOKEN: 'bob' } })
  t.equal(denied.code, 1)
  t.match(denied.stderr, /Why: portolan explain write-acl \/data\/file/)
})

t.test('an editor changes an ACL, and sees no token', async (t) => {
  const { run } = await world(t)
  const directory = scratch(t)
  const editor = join(directory, 'editor')
  const seen = join(directory, 'seen')
  const script = `#!/bin/sh\nenv > '${seen}'\nstat -c %a "$1" >> '${seen}'\necho 'D::mallory@desy.de:w' >> "$1"\n`
  writeFileSync(editor, script, { mode: 0o755 })
  const edited = await run(['acl', 'edit', '/data/file'], { env: { EDITOR: editor } })
  t.equal(edited.code, 0, edited.stderr)
  t.match(edited.stderr, /^\+D::mallory@desy\.de:w$/m)
  t.match((await run(['acl', 'get', '/data/file'])).stdout, /^D::mallory@desy\.de:w$/m)
  const { readFileSync } = await import('node:fs')
  t.notMatch(readFileSync(seen, 'utf8'), /BEARER_TOKEN/)
  t.match(readFileSync(seen, 'utf8'), /^600$/m)
  const kept = await run(['acl', 'edit', '/data/file'], { env: { EDITOR: 'true' } })
  t.equal(kept.code, 0)
  t.match(kept.stderr, /Nothing was changed/)
  t.equal((await run(['acl', 'edit', '/data/file'], { env: { EDITOR: 'false' } })).code, 2)
})

t.test('an ACL that somebody else changed meanwhile is not overwritten', async (t) => {
  const { run } = await world(t)
  const directory = scratch(t)
  const editor = join(directory, 'editor')
  const program = join(import.meta.dirname, '../../gateway/cli.ts')
  const other = `BEARER_TOKEN=alice '${process.execPath}' '${program}' acl set -a D::eve@desy.de:w /data/file`
  writeFileSync(editor, `#!/bin/sh\n${other}\necho 'D::mallory@desy.de:w' >> "$1"\n`, { mode: 0o755 })
  const edited = await run(['acl', 'edit', '/data/file'], { env: { EDITOR: editor } })
  t.equal(edited.code, 1)
  const shown = (await run(['acl', 'get', '/data/file'])).stdout
  t.match(shown, /eve/)
  t.notMatch(shown, /mallory/)
})
