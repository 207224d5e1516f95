import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Acl, right } from '../../acl/acl.ts'
import { Secret } from '../../acl/secret.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { type MountConfig, parseConfig } from '../../gateway/config.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { urlOf, withPublicUrl } from '../../gateway/serve/addresses.ts'
import { openLog } from '../../gateway/serve/log.ts'
import { Mounts } from '../../gateway/serve/mounts.ts'
import { Readiness } from '../../gateway/serve/readiness.ts'
import { openSpill } from '../../gateway/serve/spill.ts'
import { eventually } from '../gateway/processes.ts'

const open: Acl = {
  owner: undefined,
  group: undefined,
  dialect: 'rfc8881',
  aces: [{ type: 'allow', flags: 0, mask: right.readAttributes, who: 'EVERYONE@' }],
}

class Watched extends MemoryBackend {
  closed = 0
  hangs = false

  constructor() {
    super(open)
  }

  override walk(...asked: Parameters<MemoryBackend['walk']>): ReturnType<MemoryBackend['walk']> {
    return this.hangs ? new Promise(() => {}) : super.walk(...asked)
  }

  override async close(): Promise<void> {
    this.closed++
  }
}

function config(...mounts: readonly string[]) {
  const text = mounts.map((line) => `  - { ${line} }`).join('\n')
  return parseConfig(
    `domain: a.b\nlisten: [{ address: 127.0.0.1, port: 0 }]\nstate: { directory: s }\nmounts:\n${text}\n`,
    '/c.yaml',
  )
}

function rootOf(backend: MountConfig['backend']): string {
  return 'root' in backend ? backend.root : ''
}

function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-parts-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

t.test('a change of mounts keeps what stays the same, and names what nobody uses any more', async (t) => {
  const made = new Map<string, Watched>()
  const mounts = new Mounts(async ({ backend }) => {
    const fresh = new Watched()
    made.set(rootOf(backend), fresh)
    return fresh
  })
  const a = 'path: /a, backend: { type: posix, root: /x }'
  const b = 'path: /b, backend: { type: posix, root: /y }'
  const first = await mounts.change(config(a, b, 'path: /c, base: /sub, backend: { type: posix, root: /x }'))
  t.equal(made.size, 2, 'two mounts share a back end')
  first.accept()
  const [mountA] = first.namespace.mounts

  const second = await mounts.change(config(a, 'path: /d, backend: { type: posix, root: /z }'))
  second.accept()
  t.equal(second.namespace.mounts[0], mountA, 'an unchanged mount is the same object')
  t.same(second.retired, [made.get('/y')])
  t.same(second.fresh, [made.get('/z')])
  t.equal(made.get('/y')?.closed, 0, 'closing it is for whoever knows that its calls have ended')
  await mounts.close()
  t.equal(made.get('/x')?.closed, 1)
  t.equal(made.get('/z')?.closed, 1)
})

t.test('when one back end cannot be made, those made before it are closed and nothing changes', async (t) => {
  const made: Watched[] = []
  const mounts = new Mounts(async ({ backend }) => {
    if (rootOf(backend) === '/bad') throw new StorageError('unavailable', 'not there')
    const fresh = new Watched()
    made.push(fresh)
    return fresh
  })
  const good = 'path: /a, backend: { type: posix, root: /x }'
  const bad = 'path: /b, backend: { type: posix, root: /bad }'
  await t.rejects(mounts.change(config(good, bad)), { code: 'unavailable' })
  t.equal(made[0]?.closed, 1)
})

t.test('a hung mount is unreachable, the gateway stays ready, and it is looked at once', async (t) => {
  const backends = [new Watched(), new Watched()]
  const mounts = new Mounts(async ({ backend }) => backends[rootOf(backend) === '/x' ? 0 : 1] ?? new Watched())
  const { namespace } = await mounts.change(
    config('path: /a, backend: { type: posix, root: /x }', 'path: /b, backend: { type: posix, root: /y }'),
  )
  const readiness = new Readiness(() => namespace.mounts, { patience: 20, lifetime: 0 })
  t.same(await readiness.states(), [
    { mount: '/a', state: 'reachable' },
    { mount: '/b', state: 'reachable' },
  ])
  for (const backend of backends.slice(1)) backend.hangs = true
  t.same((await readiness.states())[1], { mount: '/b', state: 'unreachable' })
  t.ok(await readiness.isReady())
  for (const backend of backends) backend.hangs = true
  t.notOk(await readiness.isReady())
})

t.test('our own address is the first listener where the configuration has none', async (t) => {
  const given = config('path: /a, backend: { type: posix, root: /x }')
  const found = await withPublicUrl(given)
  t.equal(found.publicUrl, `http://127.0.0.1:${found.listen[0]?.port}`)
  t.not(found.listen[0]?.port, 0)
  t.equal(urlOf({ address: '::1', port: 443, tls: true }), 'https://[::1]')
})

t.test('the log hides secrets and goes on in a new file', async (t) => {
  const file = join(directoryFor(t), 'log')
  const log = openLog({ level: 'info', file }, { role: 'test' })
  log.info({ headers: { authorization: 'Bearer abc' }, token: 'abc', held: new Secret('abc') }, 'first')
  log.debug({}, 'unseen')
  log.flush()
  log.reopen()
  log.setLevel('debug')
  log.debug({}, 'second')
  log.flush()
  // The new file is opened in the background.
  await eventually(() => readFileSync(file, 'utf8').includes('second'), 5000, 'the second line')
  const text = readFileSync(file, 'utf8')
  t.notMatch(text, 'abc')
  t.notMatch(text, 'unseen')
  t.match(text, /"role":"test".*"msg":"first"/)
  t.match(text, /"level":"debug".*"msg":"second"/)
})

t.test('a log file that cannot be opened is an error at start', async (t) => {
  t.throws(() => openLog({ level: 'info', file: join(directoryFor(t), 'no', 'log') }), { code: 'unavailable' })
})

t.test('what a dead process left for sorting is removed, what a living one uses stays', async (t) => {
  const directory = directoryFor(t)
  // The pid of no process: above the kernel's limit.
  await mkdir(join(directory, 'spill-99999999-abc', 'deep'), { recursive: true })
  await mkdir(join(directory, 'spill-1-abc'))
  const spill = await openSpill(directory)
  t.same((await readdir(directory)).toSorted(), ['spill-1-abc', spill.directory.slice(directory.length + 1)].toSorted())
  await spill.close()
  t.same(await readdir(directory), ['spill-1-abc'])
})
