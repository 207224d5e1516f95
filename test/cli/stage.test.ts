import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { TapeWorld } from '../core/tape-world.ts'
import { callBy, person } from '../core/world.ts'
import { openDoor } from '../http/door.ts'
import { portolan } from './running.ts'

// Each command is a process of its own.
t.setTimeout(120_000)

async function world(t: Test) {
  const world = new TapeWorld(t)
  const storage = await world.open()
  const { port } = await openDoor(t, { around: () => storage })
  const run = (...words: string[]) =>
    portolan(words, { env: { PORTOLAN_URL: `http://127.0.0.1:${port}`, BEARER_TOKEN: 'alice' } })
  return { world, storage, run }
}

t.test('stage asks for files, and tells how to look at the request', async (t) => {
  const { world: tape, storage, run } = await world(t)
  await tape.fill(storage, '/pnfs/a', '/pnfs/b')
  const staged = await run('stage', '/pnfs/a', '/pnfs/b', '--lifetime', '2h')
  t.equal(staged.code, 0, staged.stderr)
  const id = staged.stdout.trim()
  t.equal(tape.orders[0]?.files[0]?.lifetime, 7200)
  t.equal((await run('stage', '/pnfs/b', '/pnfs/a', '--lifetime', '120m')).stdout.trim(), id, 'asked again')
  t.equal((await run('stage', 'status', id)).stdout, 'SUBMITTED  /pnfs/a\nSUBMITTED  /pnfs/b\n')
  t.equal((await run('stage', 'cancel', id, '/pnfs/a')).code, 0)
  const shown = JSON.parse((await run('stage', 'status', '--json', id)).stdout)
  t.match(shown.files, [{ state: 'CANCELLED' }, { state: 'SUBMITTED' }])
  t.equal((await run('stage', 'cancel', id)).code, 0)
  t.match((await run('stage', 'status', id)).stdout, /^CANCELLED {2}\/pnfs\/b$/m)
  t.equal((await run('stage', 'status', 'none')).code, 1)
})

t.test('stage waits, tells how far it is, and is done when the files can be read', async (t) => {
  const { world: tape, storage, run } = await world(t)
  await tape.fill(storage, '/pnfs/a')
  const refused = await run('cat', '/pnfs/a')
  t.equal(refused.code, 3)
  t.match(refused.stderr, /tape/)
  t.match(refused.stderr, /portolan stage --wait/)
  t.equal((await run('locality', '/pnfs/a', '/disk')).stdout, 'TAPE  /pnfs/a\nNONE  /disk\n')
  tape.hurry()
  const staged = await run('stage', '--wait', '/pnfs/a')
  t.equal(staged.code, 0, staged.stderr)
  t.equal(staged.stdout, '')
  t.match(staged.stderr, /^request \S+: 1 of 1 on disk$/m)
  t.equal((await run('cat', '/pnfs/a')).stdout, '0123456789')
  t.equal((await run('locality', '/pnfs/a')).stdout, 'DISK_AND_TAPE  /pnfs/a\n')
  const listed = await run('ls', '--locality', '/pnfs')
  t.equal(listed.stdout, 'disk-and-tape a\n')
})

t.test('what cannot be staged is named, and the rest goes on', async (t) => {
  const { world: tape, storage, run } = await world(t)
  await tape.fill(storage, '/pnfs/a')
  await tape.closedDirectory(storage, '/pnfs/closed')
  tape.hurry()
  const staged = await run('stage', '--wait', '--json', '/pnfs/a', '/pnfs/none', '/pnfs/closed/x', '/pnfs')
  t.equal(staged.code, 1)
  t.match(JSON.parse(staged.stdout).files, [
    { path: '/pnfs/a', state: 'COMPLETED' },
    { path: '/pnfs/none', state: 'FAILED', error: 'no such file or directory' },
    { path: '/pnfs/closed/x', state: 'FAILED', error: 'not allowed' },
    { path: '/pnfs', state: 'FAILED', error: 'this is a directory' },
  ])
  const told = await run('stage', '/pnfs/none')
  t.equal(told.code, 1)
  t.match(told.stderr, /^portolan: \/pnfs\/none: no such file or directory$/m)
  const lost = await run('locality', '/pnfs/none', '/pnfs/a')
  t.equal(lost.code, 1)
  t.match(lost.stderr, /\/pnfs\/none: no such/)
  t.match(lost.stdout, /\/pnfs\/a/)
})

t.test('a tree is staged with everything below it, and released again', async (t) => {
  const { world: tape, storage, run } = await world(t)
  const keeper = { id: 'keeper', user: 'keeper@x', groups: new Set<string>(), grants: 'unbounded' } as const
  const call = {
    id: 'c',
    principal: keeper,
    protocol: 'internal',
    from: '',
    signal: new AbortController().signal,
  } as const
  await storage.mkdir(call, parsePath('/pnfs/run'))
  await storage.mkdir(call, parsePath('/pnfs/run/raw'))
  await tape.fill(storage, '/pnfs/run/a', '/pnfs/run/raw/b', '/pnfs/run/raw/c', '/pnfs/other')
  await tape.closedDirectory(storage, '/pnfs/run/closed')
  const staged = await run('stage', '-r', '/pnfs/run', '/pnfs/other')
  t.equal(staged.code, 1, 'a directory was closed')
  t.match(staged.stderr, /\/pnfs\/run\/closed: /)
  const id = staged.stdout.trim()
  const names = tape.orders[0]?.files.map(({ path }) => path).toSorted()
  t.same(names, ['/other', '/run/a', '/run/raw/b', '/run/raw/c'])
  tape.hurry()
  await run('stage', 'status', id)
  tape.time += 10_000
  await run('stage', 'status', id)
  t.equal(tape.tape().evict(parsePath('/run/a')), true)
  t.equal((await run('release', id, '/pnfs/run/a')).code, 0)
  t.equal(tape.tape().evict(parsePath('/run/a')), false)
  t.equal((await run('release', id)).code, 0)
  t.equal(tape.tape().evict(parsePath('/run/raw/b')), false)
})

t.test('wrong usage is told', async (t) => {
  for (const words of [
    ['stage'],
    ['stage', 'pnfs/a'],
    ['stage', '/pnfs/a', '--lifetime', '2'],
    ['stage', '/pnfs/a', '--lifetime', '0h'],
    ['stage', 'status'],
    ['release'],
    ['locality'],
  ]) {
    const { code } = await portolan(words, { env: { PORTOLAN_URL: 'http://127.0.0.1:1' } })
    t.ok(code === 2 || code === 1, words.join(' '))
  }
  const completion = await portolan(['completion', 'bash'])
  t.match(completion.stdout, /'stage'\) found=1 commands='status cancel[^']*' options='[^']*--lifetime.*--wait/)
})

t.test('who waits for files that somebody cancels does not get them, and is told so', async (t) => {
  const { world: tape, storage, run } = await world(t)
  await tape.fill(storage, '/pnfs/a')
  const id = (await run('stage', '/pnfs/a')).stdout.trim()
  let looks = 0
  tape.trouble.progress = () => {
    if (++looks === 1) void storage.staging.cancel(callBy(person('root', { administrator: true })), id)
  }
  tape.time += 60_000
  const staged = await run('stage', '--wait', '/pnfs/a')
  t.match(staged.stderr, /^portolan: \/pnfs\/a: cancelled$/m)
  t.equal(staged.code, 1)
})
