import t from 'tap'
import { anonymous } from '../acl/principal.ts'
import type { Backend, Pending } from '../backends/backend.ts'
import type { Call } from '../gateway/core/call.ts'
import { type Path, parsePath, root } from '../gateway/core/path.ts'
import { type Mount, Namespace } from '../mounts/namespace.ts'

function backend(name: string): Backend {
  const never = () => Promise.reject(new Error('not for this test'))
  return {
    name,
    enforces: () => false,
    walk: never,
    list: never,
    open: never,
    create: never,
    mkdir: never,
    remove: never,
    rename: never,
    setAttributes: never,
    close: async () => {},
  }
}

function mount(at: string, shown: Backend = backend(at), base: Path = root): Mount {
  return {
    at: parsePath(at),
    backend: shown,
    base,
    enforce: 'gateway',
    readOnly: false,
    anonymous: false,
    createParents: false,
    recall: 'explicit',
    maxInFlight: 8,
    deadline: 1000,
  }
}

const call: Call = {
  id: 't',
  principal: anonymous,
  protocol: 'internal',
  from: '127.0.0.1',
  signal: new AbortController().signal,
}

t.test('the deepest mount wins, by whole names', async (t) => {
  const namespace = new Namespace([mount('/a'), mount('/a/b/c'), mount('/ab'), mount('/x/y')])
  const cases = [
    // path, mount, inner
    ['/a', '/a', '/'],
    ['/a/b', '/a', '/b'],
    ['/a/b/c', '/a/b/c', '/'],
    ['/a/b/c/d e', '/a/b/c', '/d e'],
    ['/a/b/cd', '/a', '/b/cd'],
    ['/a/bc', '/a', '/bc'],
    ['/ab', '/ab', '/'],
    ['/abc', 'between', '/abc'],
    ['/x', 'between', '/x'],
    ['/x/y/z/y', '/x/y', '/z/y'],
    ['/', 'between', '/'],
  ] as const
  for (const [path, name, inner] of cases) {
    const place = namespace.resolve(parsePath(path))
    t.equal(place.mount.backend.name, name, path)
    t.equal(place.inner, inner, path)
    t.equal(place.path, path)
  }
})

t.test('a mount at the root holds what no other mount holds', async (t) => {
  const namespace = new Namespace([mount('/'), mount('/a')])
  t.equal(namespace.resolve(root).mount.at, '/')
  t.equal(namespace.resolve(parsePath('/b/c')).inner, '/b/c')
  t.equal(namespace.resolve(parsePath('/a/c')).mount.at, '/a')
  t.equal(namespace.isSynthetic(root), false)
  t.same(namespace.mountsIn(root), ['a'])
})

t.test('several mounts show parts of one back end', async (t) => {
  const shared = backend('shared')
  const namespace = new Namespace([
    mount('/one', shared, parsePath('/data/1')),
    mount('/two', shared, parsePath('/data/2')),
  ])
  t.equal(namespace.resolve(parsePath('/one/f')).inner, '/data/1/f')
  t.equal(namespace.resolve(parsePath('/two')).inner, '/data/2')
  t.equal(namespace.backends().size, 1)
})

t.test('two mounts at one path are refused', async (t) => {
  t.throws(() => new Namespace([mount('/a'), mount('/a')]), { code: 'invalid', path: '/a' })
})

t.test('names that lead to mounts come sorted by UTF-8 bytes', async (t) => {
  // UTF-16 order would put the emoji before U+FF5E.
  const namespace = new Namespace(['/\u{1f600}', '/\uff5e', '/b/c', '/a', '/b/a'].map((at) => mount(at)))
  t.same(namespace.mountsIn(root), ['a', 'b', '\uff5e', '\u{1f600}'])
  t.same(namespace.mountsIn(parsePath('/b')), ['a', 'c'])
  t.same(namespace.mountsIn(parsePath('/a')), [])
  t.same(namespace.mountsIn(parsePath('/nowhere/at/all')), [])
})

t.test('only directories between mounts are synthetic', async (t) => {
  const namespace = new Namespace([mount('/x/y'), mount('/m'), mount('/m/n/o')])
  for (const [path, synthetic, leads] of [
    ['/', true, true],
    ['/x', true, true],
    ['/x/y', false, false],
    ['/x/y/z', false, false],
    ['/x/z', false, false],
    ['/m', false, true],
    ['/m/n', false, true],
    ['/m/n/o', false, false],
  ] as const) {
    t.equal(namespace.isSynthetic(parsePath(path)), synthetic, path)
    t.equal(namespace.leadsToMount(parsePath(path)), leads, path)
  }
  t.equal(namespace.isMountPoint(parsePath('/x/y')), true)
  t.equal(namespace.isMountPoint(parsePath('/x')), false)
})

t.test('the tree between mounts can be walked and listed, and nothing else', async (t) => {
  const namespace = new Namespace([mount('/x/y'), mount('/x/z'), mount('/m')])
  const tree = namespace.between.backend
  const trail = await tree.walk(parsePath('/x'), call)
  t.equal(trail.entry?.type, 'directory')
  t.equal(trail.entry?.name, 'x')
  t.equal(trail.ancestors.length, 1)
  const missing = await tree.walk(parsePath('/nope/below'), call)
  t.equal(missing.entry, undefined)
  t.equal(missing.parentExists, false)

  const pending = await tree.list(parsePath('/x'), {}, call)
  const names: string[] = []
  for await (const page of (await pending.proceed()).pages()) names.push(...page.map(({ name }) => name))
  t.same(names, ['y', 'z'])

  const refused: Pending<unknown>[] = [
    await tree.create(parsePath('/x/new'), {}, call),
    await tree.mkdir(parsePath('/new'), call),
    await tree.remove(parsePath('/x'), call),
    await tree.rename(parsePath('/x'), parsePath('/w'), { condition: 'any' }, call),
    await tree.setAttributes(parsePath('/x'), { mode: 0o777 }, call),
  ]
  for (const pending of refused) await t.rejects(() => pending.proceed().then(() => {}), { code: 'read-only' })
  await t.rejects((await tree.open(parsePath('/x'), {}, call)).proceed(), { code: 'is-directory' })
  await t.rejects((await tree.open(parsePath('/nope'), {}, call)).proceed(), { code: 'not-found' })
  await t.rejects((await tree.list(parsePath('/nope'), {}, call)).proceed(), { code: 'not-found' })
})

t.test('resolving does not slow down with the number of mounts', async (t) => {
  const many = new Namespace(Array.from({ length: 2000 }, (_, index) => mount(`/m${index}`)))
  const path = parsePath('/m1999/a/b/c')
  const start = process.hrtime.bigint()
  for (let round = 0; round < 100_000; round++) many.resolve(path)
  const ms = Number(process.hrtime.bigint() - start) / 1e6
  t.ok(ms < 1500, `100,000 look-ups took ${ms.toFixed(0)} ms`)
})
