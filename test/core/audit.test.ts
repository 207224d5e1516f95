import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type AuditRecord, FileAudit, lineOf } from '../../gateway/core/audit.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { callBy, outcome, World } from './world.ts'

const record = (call: string, more: Partial<AuditRecord> = {}): AuditRecord => ({
  call,
  principal: 'https://iss|alice',
  user: 'alice@x',
  door: 'http',
  from: '10.0.0.1',
  action: 'read',
  path: parsePath('/data/f'),
  outcome: 'ok',
  ms: 1.23456,
  ...more,
})

function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-audit-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  return directory
}

const calls = (file: string): string[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { call: string }).call)

/** Until something is so that no event tells; fails with the test's own time limit. */
async function until(so: () => boolean): Promise<void> {
  while (!so()) await delay(2)
}

t.test('a line is one JSON object with what happened and why', async (t) => {
  const refused = record('c1', {
    outcome: 'refused',
    code: 'denied',
    to: parsePath('/data/g'),
    reason: { rule: 'ace', text: 'the ACL denies', path: parsePath('/data'), ace: 3 },
    bytes: 10,
    items: 2,
  })
  const line = lineOf(refused)
  t.match(JSON.parse(line), { ...refused, ms: 1.235, time: /^\d{4}-\d\d-\d\dT/ })
  t.equal(line.indexOf('\n'), line.length - 1)
  t.match(JSON.parse(lineOf(record('c', { user: undefined }))), { user: null })
})

t.test('names cannot forge lines or steer a terminal', async (t) => {
  const name = '/a\n{"call":"forged"}\x1b[2J\x7f\x9b\u202e\u2028"\\'
  const line = lineOf(record('c', { path: parsePath(name) }))
  t.equal((JSON.parse(line) as { path: string }).path, name)
  t.notMatch(line.slice(0, -1), /[\p{Cc}\u202e\u2028]/u)
})

t.test('lines reach the file in order, at once on close', async (t) => {
  const file = join(directoryFor(t), 'audit.jsonl')
  const audit = await FileAudit.open({ file, onFailure: 'stop' })
  for (let count = 0; count < 2000; count++) audit.record(record(`c${count}`))
  await audit.close()
  await audit.close()
  t.same(
    calls(file),
    Array.from({ length: 2000 }, (_, count) => `c${count}`),
  )
  t.equal(statSync(file).mode & 0o137, 0)
  audit.record(record('late'))
  t.equal(audit.dropped, 1)
})

t.test('lines are written without anybody asking', async (t) => {
  const file = join(directoryFor(t), 'audit.jsonl')
  const audit = await FileAudit.open({ file, onFailure: 'stop', delay: 1 })
  t.teardown(() => audit.close())
  audit.record(record('alone'))
  await until(() => statSync(file).size > 0)
  t.same(calls(file), ['alone'])
})

t.test('after a rotation lines go to the new file, and none is lost', async (t) => {
  const directory = directoryFor(t)
  const file = join(directory, 'audit.jsonl')
  const audit = await FileAudit.open({ file, onFailure: 'stop' })
  audit.record(record('old'))
  renameSync(file, `${file}.1`)
  await audit.reopen()
  audit.record(record('new'))
  await audit.close()
  t.same(calls(`${file}.1`), ['old'])
  t.same(calls(file), ['new'])
})

t.test('a file that cannot be opened is an error at the start', async (t) => {
  const opened = FileAudit.open({ file: '/does/not/exist/audit', onFailure: 'stop' })
  await t.rejects(opened, { code: 'unavailable' })
})

t.test('while lines cannot be written every call is refused, until a write works again', async (t) => {
  const world = new World()
  t.teardown(() => world.end())
  const directory = directoryFor(t)
  const file = join(directory, 'audit.jsonl')
  symlinkSync('/dev/full', file)
  const audit = await FileAudit.open({ file, onFailure: 'stop', delay: 1, retry: 1 })
  const { spillDirectory } = world
  const storage = new Storage({ namespace: new Namespace(world.mounts), audit, spillDirectory })
  const stat = () => outcome(storage.stat(callBy('alice'), parsePath('/data')))
  t.equal(await stat(), 'ok')
  await until(() => !audit.healthy)
  world.calls.length = 0
  t.equal(await stat(), 'unavailable')
  t.same(world.calls, [])
  t.ok(audit.failures > 0)
  unlinkSync(file)
  await until(() => audit.healthy)
  t.equal(await stat(), 'ok')
  await audit.close()
  t.equal(calls(file).length, 2, 'the line that failed was kept')
  t.equal(audit.dropped, 0)
})

t.test('told to go on, it counts what is lost', async (t) => {
  const file = join(directoryFor(t), 'audit.jsonl')
  symlinkSync('/dev/full', file)
  const audit = await FileAudit.open({ file, onFailure: 'continue', delay: 1, retry: 1, keep: 1000 })
  for (let count = 0; count < 100; count++) audit.record(record(`c${count}`))
  await until(() => audit.failures > 1)
  t.equal(audit.healthy, true)
  t.ok(audit.dropped > 90)
  await audit.close()
})
