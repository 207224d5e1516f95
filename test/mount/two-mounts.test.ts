/** Several mounts of one namespace, whose sessions are with different processes of the gateway. */

import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { TestGateway } from '../gateway/harness.ts'
import { eventually } from '../gateway/processes.ts'
import { readAgain } from './loads.ts'
import { type Mounted, mountGateway, startLab } from './mounted.ts'
import { closedWay } from './places.ts'

t.setTimeout(300_000)

/** Of carol, with another process of the gateway than alice's: connections go to one and the other. */
async function elsewhere(t: Test, gateway: TestGateway): Promise<Mounted> {
  const workers = () => ['alice', 'carol'].map((user) => workerOf(gateway, user))
  for (let tries = 0; tries < 8; tries++) {
    const mount = await mountGateway(t, gateway, { user: 'carol' })
    await eventually(() => workers().every((pid) => pid !== 0), 5000, 'no line of the log')
    const [one, other] = workers()
    if (one !== other) return mount
    await mount.end()
  }
  throw new Error('all sessions came to one process')
}

/** Which process has last served a mount of the user. */
function workerOf(gateway: TestGateway, user: string): number {
  const lines = gateway.logText().split('\n')
  const last = lines.findLast(
    (line) => line.includes('/.portolan/fs/v1/op/') && line.includes(`|${user}"`) && line.includes('"status":200'),
  )
  return last === undefined ? 0 : Number(JSON.parse(last).pid)
}

t.test('two mounts and the other doors', { skip: closedWay('root') }, async (t) => {
  const gateway = await startLab(t, { logLevel: 'debug' })
  const alice = await mountGateway(t, gateway)
  const carol = await elsewhere(t, gateway)
  const shared = (mount: Mounted, name: string) => join(mount.mountpoint, 'lab/p01', name)
  const sh = (mount: Mounted, script: string, ...names: string[]) =>
    mount.place.run('sh', ['-euc', script, 'sh', ...names.map((name) => shared(mount, name))])
  /** Looked for without a pause. Within a second is what is promised; without events it would be half a minute. */
  const soon = async (mount: Mounted, script: string, name: string, expected: string, what: string) => {
    const started = performance.now()
    const isThere = async () => (await sh(mount, script, name).catch(() => 'nothing')) === expected
    await eventually(isThere, 10_000, what)
    t.pass(`${what}, after ${Math.round(performance.now() - started)} ms`)
  }

  await t.test('each sees what the other does within a second', async (t) => {
    await sh(carol, 'ls "$1"; cat "$1/new" 2>/dev/null || true', '')
    await sh(alice, 'echo one > "$1"', 'new')
    await soon(carol, 'cat "$1"', 'new', 'one\n', 'a new file, whose absence was known')
    await sh(alice, 'echo two, longer > "$1"', 'new')
    await soon(carol, 'cat "$1"', 'new', 'two, longer\n', 'new bytes')
    await sh(carol, 'printf xyz | dd of="$1" bs=1 seek=1 conv=notrunc status=none', 'new')
    await soon(alice, 'cat "$1"', 'new', 'txyz longer\n', 'bytes of the same length')
    await sh(carol, 'chmod 640 "$1"; mv "$1" "$2"', 'new', 'renamed')
    await soon(alice, 'cat "$1"', 'renamed', 'txyz longer\n', 'a new name')
    await soon(alice, 'test ! -e "$1"', 'new', '', 'the old name is gone')
    await sh(alice, 'rm "$1"; mkdir "$2"', 'renamed', 'directory')
    await soon(carol, 'stat -c %F "$1"', 'directory', 'directory\n', 'a directory')
    t.equal((await gateway.put('/lab/p01/by-put', 'alice', 'by HTTP')).status, 201)
    await soon(carol, 'cat "$1"', 'by-put', 'by HTTP', 'a file that came by HTTP')
    await gateway.request({ method: 'DELETE', path: '/lab/p01/by-put', user: 'alice' })
    await soon(carol, 'test ! -e "$1"', 'by-put', '', 'and that went by HTTP')
  })

  await t.test('what was written and closed is read by whoever opens it afterwards', async (t) => {
    for (let round = 0; round < 20; round++) {
      const [from, to] = round % 2 ? [alice, carol] : [carol, alice]
      await sh(from, `seq ${round} 2000 > "$1"`, 'sequence')
      const read = async () => (await sh(to, 'head -n 1 "$1"; tail -n 1 "$1"', 'sequence')) === `${round}\n2000\n`
      await eventually(read, 10_000, `round ${round}`)
    }
    t.pass('20 rounds')
  })

  await t.test('locks hold between them, and what is written under one is read under the next', async (t) => {
    await sh(alice, 'echo 0 > "$1"', 'counter')
    const count = 'for i in $(seq 40); do flock "$1" sh -euc \'n=$(cat "$1"); echo $((n + 1)) > "$1"\' sh "$1"; done'
    await Promise.all([alice, carol, alice, carol].map((mount) => sh(mount, count, 'counter')))
    t.equal(await sh(carol, 'cat "$1"', 'counter'), '160\n')
    t.equal((await gateway.get('/lab/p01/counter', 'alice')).text, '160\n')
  })

  await t.test('SQLite with a rollback journal loses no increment over both', async (t) => {
    const ask = (mount: Mounted, sql: string) =>
      mount.place.run('sqlite3', ['-bail', '-batch', '-cmd', '.timeout 100000', shared(mount, 'both.db')], {
        input: sql,
      })
    await ask(alice, 'create table counter (n integer); insert into counter values (0);')
    const writer = 'begin immediate; update counter set n = n + 1; commit;\n'.repeat(30)
    await Promise.all([alice, carol, alice, carol].map((mount) => ask(mount, writer)))
    t.equal(await ask(carol, 'select n from counter; pragma integrity_check;'), '120\nok\n')
  })

  await t.test('of many who make one name exactly one does', async (t) => {
    const race = 'won=0; for i in $(seq 50); do mkdir "$1-$i" 2>/dev/null && won=$((won + 1)) || true; done; echo $won'
    const wins = await Promise.all([alice, carol, alice, carol].map((mount) => sh(mount, race, 'race')))
    t.equal(
      wins.reduce((sum, text) => sum + Number(text), 0),
      50,
    )
    const files =
      'set -C; won=0; for i in $(seq 50); do (: > "$1-$i") 2>/dev/null && won=$((won + 1)) || true; done; echo $won'
    const made = await Promise.all([alice, carol].map((mount) => sh(mount, files, 'file')))
    t.equal(
      made.reduce((sum, text) => sum + Number(text), 0),
      50,
    )
  })

  await t.test('a large file is the same in both', async (t) => {
    t.equal(await alice.prove('random reads by Python', 'lab/p01', 0.1), '')
    await alice.place.run('python3', [
      join(import.meta.dirname, 'chunks.py'),
      shared(alice, 'chunks'),
      '16',
      '1',
      'make',
    ])
    await readAgain(shared(carol, 'chunks'), 200)
  })
})
