/** A process that is killed at any step of a change leaves the old or the new state, and no rubbish after a sweep. */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Step } from '../../backends/posix/operations.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'
import { act, alice, callOf, openAcl, read, storeAclAt, write } from './backend-world.ts'

t.setTimeout(240_000)
const program = new URL('./crash-program.ts', import.meta.url)
const timing = { renew: 100, life: 500 }
const isRoot = process.getuid?.() === 0

/** Numbers the directories of one test. */
let rounds = 0

interface Ground {
  readonly root: string
  readonly state: string
}

function groundFor(t: Test, grade: 'gateway' | 'native'): Ground {
  const base = mkdtempSync(joinPath(tmpdir(), `portolan-crash-${++rounds}-`))
  t.teardown(() => rmSync(base, { recursive: true, force: true }))
  const root = mkdtempSync(joinPath(tmpdir(), `portolan-crash-tree-${rounds}-`))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  if (grade === 'native') chownSync(root, 41001, 41001)
  else storeAclAt(root, openAcl)
  return { root, state: joinPath(base, 'state') }
}

interface Scenario {
  readonly task: 'write' | 'mkdir'
  readonly grade: 'gateway' | 'native'
  /** What is there before. */
  readonly old: string | undefined
  /** Whether the file system has files without a name. */
  readonly unnamed: boolean
  readonly step: Step
}

/** Lets a process die at the step; then looks, sweeps, and goes on working in the same place. */
async function crash(t: Test, scenario: Scenario): Promise<void> {
  const { task, grade, old, unnamed, step } = scenario
  const ground = groundFor(t, grade)
  const state = await openState({ directory: ground.state, timing })
  const backend = new PosixBackend({ name: 'posix:test', root: ground.root, grade, threads: 1 }, state)
  await backend.ready()
  if (old !== undefined) await write(backend, parsePath('/file'), old)
  const child = fork(program, [ground.root, ground.state, task], {
    env: {
      ...process.env,
      PORTOLAN_TEST_DIE_AT: step,
      PORTOLAN_TEST_GRADE: grade,
      PORTOLAN_TEST_UNNAMED: unnamed ? 'yes' : 'no',
    },
  })
  const [, signal] = await once(child, 'exit')
  t.equal(signal, 'SIGKILL', 'it died there')
  if (task === 'write') {
    const now = readdirSync(ground.root).includes('file')
      ? readFileSync(joinPath(ground.root, 'file'), 'utf8')
      : undefined
    const isNew = now === 'new '.repeat(100_000)
    t.ok(isNew || now === old, `the ${isNew ? 'new' : 'old'} bytes are there`)
    t.equal(isNew, step === 'published', 'as far as it came')
  }
  await sweepAll(t, backend, ground)
  await goOn(t, backend, task)
  await backend.close()
  await state.close()
}

/** The dead process counts as dead only after a while, which is for the state store to say. */
async function sweepAll(t: Test, backend: PosixBackend, { root }: Ground): Promise<void> {
  const left = () => globSync('**/.portolan-stage-*', { cwd: root })
  const until = performance.now() + 20_000
  while (left().length > 0 && performance.now() < until) {
    await backend.sweep(0)
    await sleep(20)
  }
  t.same(left(), [], 'the sweep has taken everything away')
}

async function goOn(t: Test, backend: PosixBackend, task: Scenario['task']): Promise<void> {
  if (task === 'write') {
    await write(backend, parsePath('/file'), 'after')
    t.equal(await read(backend, parsePath('/file')), 'after', 'and work goes on')
    return
  }
  const { entry } = await backend.walk(parsePath('/directory'), callOf(alice))
  if (entry) t.equal(entry.acl?.owner, 'alice@desy.de', 'what is there has its ACL')
  else await act(backend.mkdir(parsePath('/directory'), callOf(alice)))
}

const fresh: readonly Step[] = ['staged', 'renaming', 'published']
const replacing: readonly Step[] = ['staged', 'prepared', 'linked', 'renaming', 'published']

const groups: ReadonlyArray<readonly [name: string, steps: readonly Step[], rest: Omit<Scenario, 'step'>]> = [
  ['a new file', fresh, { task: 'write', grade: 'gateway', old: undefined, unnamed: true }],
  ['a replaced file', replacing, { task: 'write', grade: 'gateway', old: 'old', unnamed: true }],
  ['a new file under a hidden name', fresh, { task: 'write', grade: 'gateway', old: undefined, unnamed: false }],
  ['a file replaced from a hidden name', replacing, { task: 'write', grade: 'gateway', old: 'old', unnamed: false }],
  ['a new directory', fresh, { task: 'mkdir', grade: 'gateway', old: undefined, unnamed: true }],
  [
    'a file replaced as the user',
    ['linked', 'renaming'],
    { task: 'write', grade: 'native', old: 'old', unnamed: true },
  ],
  [
    'a new file of the user under a hidden name',
    ['staged', 'renaming'],
    { task: 'write', grade: 'native', old: undefined, unnamed: false },
  ],
]

for (const [name, steps, rest] of groups) {
  const skip = rest.grade === 'native' && !isRoot ? 'needs root, to switch identities' : false
  t.test(`${name} is old or new wherever the process dies, and nothing is left`, { skip }, async (t) => {
    for (const step of steps) await t.test(step, (t) => crash(t, { ...rest, step }))
  })
}

t.test('of two processes that replace one version exactly one wins, every time', async (t) => {
  const ground = groundFor(t, 'gateway')
  const state = await openState({ directory: ground.state, timing })
  const backend = new PosixBackend({ name: 'posix:test', root: ground.root, grade: 'gateway', threads: 1 }, state)
  await backend.ready()
  const children = ['one', 'two'].map((name) => fork(program, [ground.root, ground.state, 'compete', name]))
  await Promise.all(children.map((child) => once(child, 'message')))
  for (let round = 0; round < 15; round++) {
    const { version } = await write(backend, parsePath('/file'), `round ${round}`)
    const answers = await Promise.all(children.map((child) => ask(child, version)))
    t.same(answers.map(({ outcome }) => outcome).sort(), ['precondition', 'written'], `round ${round}`)
    t.match(await read(backend, parsePath('/file')), /^(one|two)$/)
  }
  for (const child of children) {
    child.send('over')
    await once(child, 'exit')
  }
  t.same(globSync('**/.portolan-stage-*', { cwd: ground.root }), [])
  await backend.close()
  await state.close()
})

async function ask(child: ChildProcess, version: string): Promise<{ readonly outcome: string }> {
  const answer = once(child, 'message')
  child.send(version)
  const [message] = await answer
  return message as { outcome: string }
}
