import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { store } from '../http/door.ts'
import { scratch } from './running.ts'
import { world } from './world.ts'

// Each command is a process of its own.
t.setTimeout(120_000)

t.test('whoami tells who the gateway takes the caller for', async (t) => {
  const { run } = await world(t)
  const told = await run(['whoami'])
  t.equal(told.code, 0, told.stderr)
  t.match(told.stdout, /^user +alice@desy\.de$/m)
  const bound = await run(['whoami', '--json'], { as: 'reader' })
  t.match(JSON.parse(bound.stdout), { user: 'alice@desy.de', grants: [{ kind: 'read', path: '/data/open' }] })
  const refused = await run(['whoami'], { as: 'expired' })
  t.equal(refused.code, 1)
  t.match(refused.stderr, /BEARER_TOKEN/)
  t.match((await run(['whoami', '--anonymous'])).stdout, /^id +anonymous$/m)
})

t.test('mounts shows the parts of the namespace', async (t) => {
  const { run } = await world(t)
  t.match((await run(['mounts'])).stdout, /^\/data\b/m)
  t.match(JSON.parse((await run(['mounts', '--json'])).stdout), { mounts: [{ path: '/data', readOnly: false }] })
})

t.test('ls shows names, attributes and JSON', async (t) => {
  const { run, storage } = await world(t)
  t.equal((await run(['ls'])).stdout, 'data/\n')
  t.equal((await run(['ls', '/data'])).stdout, 'dir/\nhello.txt\n')
  const long = await run(['ls', '-l', '/data/'])
  t.match(long.stdout, /^d\S{9} +- \d{4}-\d\d-\d\d \d\d:\d\d:\d\d dir$/m)
  t.match(long.stdout, /^-\S{9} +12 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d hello\.txt$/m)
  const lines = (await run(['ls', '--json', '/data'])).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(lines, [
    { name: 'dir', type: 'directory' },
    { name: 'hello.txt', type: 'file', size: 12 },
  ])
  t.equal((await run(['ls', '/data/hello.txt'])).stdout, 'hello.txt\n', 'a file is shown by itself')
  t.equal((await run(['ls', '-d', '/data/dir'])).stdout, 'dir/\n')
  await store(storage, '/data/esc\u001b[31m\nape', '')
  t.match((await run(['ls', '/data'])).stdout, /^"esc\\u001b\[31m\\nape"$/m, 'nothing a terminal would obey')
  const missing = await run(['ls', '/data/none'])
  t.equal(missing.code, 1)
  t.match(missing.stderr, /^portolan: There is nothing at this path/)
  t.equal(missing.stdout, '')
})

t.test('cat writes bytes, parts of them, and whole files', async (t) => {
  const { run, storage } = await world(t)
  t.equal((await run(['cat', '/data/hello.txt'])).stdout, 'hello world\n')
  t.equal((await run(['cat', '-r', '6-10', '/data/hello.txt'])).stdout, 'world')
  t.equal((await run(['cat', '-r', '6-', '/data/hello.txt'])).stdout, 'world\n')
  t.equal((await run(['cat', '-r', '9-2', '/data/hello.txt'])).code, 2)
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251))
  await store(storage, '/data/big', bytes)
  t.ok((await run(['cat', '/data/big'])).bytes.equals(bytes))
  const directory = scratch(t)
  const saved = await run(['cat', '--json', '-o', 'copy', '/data/big'], { cwd: directory })
  t.match(JSON.parse(saved.stdout), { size: 300_000, resumedAt: 0 })
  t.ok(readFileSync(join(directory, 'copy')).equals(bytes))
  await store(storage, '/data/empty', '')
  t.equal((await run(['cat', '-o', join(directory, 'nothing'), '/data/empty'])).code, 0)
  t.equal(readFileSync(join(directory, 'nothing')).length, 0)
  t.equal((await run(['cat', '/data/dir'])).code, 1)
})

t.test('put takes files and standard input, under conditions', async (t) => {
  const { run } = await world(t)
  const directory = scratch(t)
  const local = join(directory, 'local name')
  writeFileSync(local, 'from a file')
  t.equal((await run(['put', local, '/data/dir/'])).code, 0)
  t.equal((await run(['cat', '/data/dir/local name'])).stdout, 'from a file')
  const piped = await run(['put', '--json', '-', '/data/piped'], { input: 'x'.repeat(200_000) })
  const { created, etag } = JSON.parse(piped.stdout)
  t.equal(created, true)
  t.equal((await run(['cat', '/data/piped'])).bytes.length, 200_000)
  const again = await run(['put', '--new', local, '/data/piped'])
  t.equal(again.code, 1)
  t.match(again.stderr, /portolan: /)
  t.equal((await run(['put', '--if-match', '"other"', local, '/data/piped'])).code, 1)
  t.equal((await run(['put', '--if-match', etag, local, '/data/piped'])).code, 0)
  t.equal((await run(['cat', '/data/piped'])).stdout, 'from a file')
  t.equal((await run(['put', join(directory, 'none'), '/data/x'])).code, 2)
  t.equal((await run(['put', directory, '/data/x'])).code, 2)
  const parentless = await run(['put', local, '/data/no/such/place'])
  t.equal(parentless.code, 1)
  t.match(parentless.stderr, /parent/)
})

t.test('rm removes files, and directories only when asked to', async (t) => {
  const { run, storage } = await world(t)
  await store(storage, '/data/dir/inner', 'x')
  const refused = await run(['rm', '/data/dir'])
  t.equal(refused.code, 2)
  t.match(refused.stderr, /--recursive/)
  t.equal((await run(['cat', '/data/dir/inner'])).stdout, 'x')
  t.equal((await run(['rm', '/data/hello.txt'])).code, 0)
  t.equal((await run(['rm', '-r', '/data/dir'])).code, 0)
  t.equal((await run(['ls', '/data'])).stdout, '')
  t.equal((await run(['rm', '/data/hello.txt'])).code, 1)
  t.equal((await run(['rm', '-f', '/data/hello.txt'])).code, 0)
})
