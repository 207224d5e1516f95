import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type Running, run } from './running.ts'

const fake = fileURLToPath(new URL('./fake-worker.ts', import.meta.url))

interface Answer {
  readonly pid: number
  readonly note: string
  readonly workers: number
  readonly pool: string
}

function config(note: string, more = ''): string {
  return `domain: example.org
workers: 2
publicUrl: https://gw.example.org
listen: [{ address: 127.0.0.1, port: 0 }]
metrics: { port: 0 }
state: { directory: state }
log: { file: log }
limits: { shutdownTimeout: 200ms }
mounts: [{ path: /a, backend: { type: posix, root: /nowhere, dataThreads: 5 }, note: "${note}" }]
${more}`
}

async function ask(gateway: Running): Promise<Answer> {
  return (await (await fetch(await gateway.url())).json()) as Answer
}

/** The process ids of both workers, which take connections in turn. */
async function pids(gateway: Running): Promise<Set<number>> {
  const answers = [await ask(gateway), await ask(gateway), await ask(gateway), await ask(gateway)]
  return new Set(answers.map(({ pid }) => pid))
}

t.test('all workers share one port, and the real one is told', async (t) => {
  const gateway = await run(t, () => config('good'), fake)
  const ready = await gateway.ready()
  t.equal(ready.workers, 2)
  t.not(ready.addresses[0]?.port, 0)
  t.equal((await pids(gateway)).size, 2)
  const { workers, pool } = await ask(gateway)
  t.equal(workers, 2)
  t.equal(pool, '13', 'the data threads of all mounts and eight more')
  gateway.signal('SIGTERM')
  t.equal(await gateway.ended, 0)
})

t.test('a worker that dies is replaced, on the same port', async (t) => {
  const gateway = await run(t, () => config('good'), fake)
  const url = await gateway.url()
  const before = await pids(gateway)
  for (const _ of before) await fetch(`${url}/die`).catch(() => {})
  await gateway.line('a worker was replaced')
  for (let found = await pids(gateway).catch(() => before); ; found = await pids(gateway).catch(() => before)) {
    if ([...found].every((pid) => !before.has(pid))) break
  }
  t.equal((await ask(gateway)).note, 'good')
  gateway.signal('SIGINT')
  t.equal(await gateway.ended, 0)
})

t.test('a worker that cannot start ends the gateway with its reason', async (t) => {
  const failing = await run(t, () => config('fails'), fake)
  t.equal(await failing.ended, 2)
  t.equal(failing.stderr, 'the reason\n')
  const dying = await run(t, () => config('dies at start'), fake)
  t.equal(await dying.ended, 2)
})

t.test('SIGHUP gives all workers the new configuration, a bad file changes nothing', async (t) => {
  const gateway = await run(t, () => config('good'), fake)
  const before = await pids(gateway)

  gateway.configure(config('better', 'hosts: [other.example.org]\n'))
  gateway.signal('SIGHUP')
  t.same((await gateway.line('the configuration was taken over')).waiting, ['hosts'])
  t.same([(await ask(gateway)).note, (await ask(gateway)).note], ['better', 'better'])

  gateway.configure(config('bad', 'colour: red\n'))
  gateway.signal('SIGHUP')
  const line = await gateway.line('bad configuration; the old one stays')
  t.match(line.mistake, /portolan\.yaml:10:1: colour: unknown key/)
  t.equal((await ask(gateway)).note, 'better')

  gateway.configure(config('refuses'))
  gateway.signal('SIGHUP')
  const refused = await gateway.line('workers did not take the configuration over; the old one stays')
  t.same(refused.failures, ['not this one', 'not this one'])
  t.equal((await ask(gateway)).note, 'better')
  t.same(await pids(gateway), before, 'nobody was restarted')
})

t.test('the metrics of all workers are added up', async (t) => {
  const gateway = await run(t, () => config('good'), fake)
  const { metrics } = await gateway.ready()
  const answer = await fetch(`http://127.0.0.1:${metrics?.port}/metrics`)
  t.match(answer.headers.get('content-type'), 'text/plain')
  const text = await answer.text()
  t.match(text, /^fake_total 42$/m)
  t.match(text, /^portolan_workers 2$/m)
  t.equal((await fetch(`http://127.0.0.1:${metrics?.port}/other`)).status, 404)
  t.equal((await fetch(`http://127.0.0.1:${metrics?.port}/metrics`, { method: 'POST' })).status, 405)
})

t.test('a worker that does not end in its deadline is killed', async (t) => {
  const gateway = await run(t, () => config('deaf'), fake)
  await gateway.ready()
  gateway.signal('SIGTERM')
  t.equal(await gateway.ended, 0)
  await gateway.line('workers did not end in time')
})

t.test('a second signal ends the gateway at once', async (t) => {
  const gateway = await run(t, () => config('deaf').replace('200ms', '1h'), fake)
  await gateway.ready()
  gateway.signal('SIGTERM')
  await gateway.line('ending; transfers may finish')
  gateway.signal('SIGTERM')
  t.equal(await gateway.ended, 1)
})

t.test('a bad file at start is told with its line', async (t) => {
  const gateway = await run(t, () => config('good').replace('workers: 2', 'workers: two'), fake)
  t.equal(await gateway.ended, 2)
  t.match(gateway.stderr, /portolan\.yaml:2:10: workers: expected auto or a number/)
})

t.test('systemd is told of start, reload and end', async (t) => {
  const bin = mkdtempSync(join(tmpdir(), 'portolan-notify-'))
  t.teardown(() => rmSync(bin, { recursive: true, force: true }))
  writeFileSync(join(bin, 'systemd-notify'), `#!/bin/sh\necho "$@" >>${bin}/told\n`, { mode: 0o755 })
  const environment = { PATH: `${bin}:${process.env.PATH}`, NOTIFY_SOCKET: '/nowhere' }
  const gateway = await run(t, () => config('good'), fake, environment)
  await gateway.ready()
  gateway.signal('SIGHUP')
  await gateway.line('the configuration was taken over')
  gateway.signal('SIGTERM')
  await gateway.ended
  const told = readFileSync(join(bin, 'told'), 'utf8').trim().split('\n')
  t.same(told[0], `--pid=${gateway.process.pid} READY=1`)
  t.same(told.map((line) => line.split(' ')[1]).toSorted(), ['READY=1', 'READY=1', 'RELOADING=1', 'STOPPING=1'])
})

t.test('a service manager that does not listen keeps nobody serving', async (t) => {
  const bin = mkdtempSync(join(tmpdir(), 'portolan-notify-'))
  t.teardown(() => rmSync(bin, { recursive: true, force: true }))
  const script = `#!/bin/sh\ncase "$2" in STOPPING*) exec sleep 60 ;; esac\n`
  writeFileSync(join(bin, 'systemd-notify'), script, { mode: 0o755 })
  const environment = { PATH: `${bin}:${process.env.PATH}`, NOTIFY_SOCKET: '/nowhere' }
  const gateway = await run(t, () => config('good'), fake, environment)
  const url = await gateway.url()
  const asked = performance.now()
  gateway.signal('SIGTERM')
  // One that was handed to a worker as it ended gets no answer.
  while (
    await fetch(url, { signal: AbortSignal.timeout(1000) }).then(
      () => true,
      () => false,
    )
  );
  t.ok(performance.now() - asked < 4000, 'the listeners close at once')
  t.equal(await gateway.ended, 0)
})
