import { chmodSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { familyOf } from '../gateway/processes.ts'
import { beginDownload, bigSize, configText, get, start } from './world.ts'

t.test('a file is read through a gateway made from a configuration file', async (t) => {
  const { gateway, token } = await start(t)
  const answer = await get(gateway, '/data/hello', token)
  t.equal(answer.status, 200)
  t.equal(await answer.text(), 'hello from data\n')
  t.equal((await get(gateway, '/data/hello')).status, 401)
  t.equal((await get(gateway, '/.portolan/api/v1/health')).status, 200)
  t.equal((await get(gateway, '/.portolan/api/v1/ready')).status, 200)
  const who = (await (await get(gateway, '/.portolan/api/v1/whoami', token)).json()) as { readonly user: string }
  t.equal(who.user, 'alice@example.org')

  const { metrics } = await gateway.ready()
  const text = await (await fetch(`http://127.0.0.1:${metrics?.port}/metrics`)).text()
  t.match(text, /^portolan_calls_total\{door="http",action="read",outcome="ok"\} 1$/m)
  t.match(text, /^portolan_mount_reachable\{mount="\/data"\} 1$/m)
  t.match(text, /^portolan_http_requests_total\{method="GET",status="200"\} \d+$/m)

  gateway.signal('SIGTERM')
  t.equal(await gateway.ended, 0)
  const audit = readFileSync(join(gateway.directory, 'audit.jsonl'), 'utf8')
  t.match(audit, /"user":"alice@example.org".*"action":"read","path":"\/data\/hello","outcome":"ok"/)
  t.notMatch(audit, token)
  t.notMatch(readFileSync(join(gateway.directory, 'log'), 'utf8'), token)
})

t.test('SIGHUP changes the mounts without touching a transfer, and a bad file changes nothing', async (t) => {
  const { gateway, token } = await start(t)
  const rest = await beginDownload(gateway, token)

  // `data` itself goes away while a file of it is being sent.
  gateway.configure(configText(gateway.directory, { mounts: ['more'] }))
  gateway.signal('SIGHUP')
  t.same((await gateway.line('the configuration was taken over')).waiting, [])
  for (let turn = 0; turn < 4; turn++) {
    t.equal(await (await get(gateway, '/more/hello', token)).text(), 'hello from more\n')
    t.equal((await get(gateway, '/data/hello', token)).status, 404)
  }

  gateway.configure('mounts: []')
  gateway.signal('SIGHUP')
  await gateway.line('bad configuration; the old one stays')
  t.equal((await get(gateway, '/more/hello', token)).status, 200)

  t.equal(await rest(), bigSize, 'the transfer was not cut')
})

t.test('SIGHUP goes on in a new log file after a rotation', async (t) => {
  const { gateway, token } = await start(t, { workers: 1 })
  await get(gateway, '/data/hello', token)
  for (const name of ['log', 'audit.jsonl']) {
    renameSync(join(gateway.directory, name), join(gateway.directory, `${name}.1`))
  }
  gateway.signal('SIGHUP')
  await gateway.line('the configuration was taken over')
  await (await get(gateway, '/data/hello', token)).text()
  gateway.signal('SIGTERM')
  await gateway.ended
  t.equal(readFileSync(join(gateway.directory, 'audit.jsonl'), 'utf8').trim().split('\n').length, 1)
})

t.test('SIGHUP while a worker starts gives it the new configuration as well', async (t) => {
  const { gateway, token } = await start(t, { workers: 1 })
  const supervisor = gateway.process.pid ?? -1
  const [before = -1] = familyOf(supervisor).filter((pid) => pid !== supervisor)
  process.kill(before, 'SIGKILL')
  while (familyOf(supervisor).every((pid) => pid === supervisor || pid === before)) await setImmediate()
  // The one that takes its place was told the old configuration and is still loading its code.
  gateway.configure(configText(gateway.directory, { mounts: ['more'], workers: 1 }))
  gateway.signal('SIGHUP')
  await gateway.line('the configuration was taken over')
  await gateway.line('a worker was replaced')
  t.equal(await (await get(gateway, '/more/hello', token)).text(), 'hello from more\n')
  t.equal((await get(gateway, '/data/hello', token)).status, 404)
})

t.test(
  'modes of new files are what is configured, whatever the umask of the one who starts it',
  { skip: process.getuid?.() === 0 ? false : 'needs root, to make a tree for all' },
  async (t) => {
    const before = process.umask(0o077)
    const { gateway, token } = await start(t, { workers: 1 }).finally(() => process.umask(before))
    const tree = join(gateway.directory, 'trees/data')
    for (const directory of [gateway.directory, join(tree, '..'), tree]) chmodSync(directory, 0o777)
    const headers = { Authorization: `Bearer ${token}`, Connection: 'close' }
    const put = await fetch(`${await gateway.url()}/data/new`, { method: 'PUT', body: 'x', headers })
    t.equal(put.status, 201)
    t.equal(statSync(join(tree, 'new')).mode & 0o777, 0o640)
  },
)
