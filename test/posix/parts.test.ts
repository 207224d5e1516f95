/** Uploads in parts, on real files: where the bytes go, what a kill leaves, and what a stopped process may still do. */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { linkSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { Parts, piece } from '../core/part-world.ts'
import { eventually } from '../gateway/processes.ts'
import { alice, callOf } from './backend-world.ts'
import { type Grade, type Ground, groundFor, openWorker, type Worker } from './upload-ground.ts'

t.setTimeout(180_000)
const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
const grades: readonly Grade[] = ['gateway', 'native']
const who = alice
const MiB = 1024 * 1024

async function partsOn(t: Test, ground: Ground, ahead = () => 0): Promise<Parts & { readonly worker: Worker }> {
  const worker = await openWorker(ground, ahead)
  t.teardown(() => worker.close())
  return Object.assign(new Parts(worker.storage), { worker })
}

function hiddenIn({ root }: Ground): string[] {
  return readdirSync(root).filter((name) => name.startsWith('.portolan-stage-'))
}

function start(t: Test, { root, state, grade, spooled }: Ground, id: string, task: string, step = ''): ChildProcess {
  const program = new URL('./part-program.ts', import.meta.url)
  const child = fork(program, [root, state, grade, id, task, spooled ? 'spooled' : ''], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, PORTOLAN_TEST_DIE_AT: step },
  })
  t.teardown(() => void child.kill('SIGKILL'))
  return child
}

async function told(child: ChildProcess, word: string): Promise<void> {
  const [message] = await once(child, 'message')
  if (message !== word) throw new Error(`the child said ${String(message)}`)
}

for (const grade of grades) {
  const options = { skip: grade === 'native' && skip }

  t.test(`parts go to where they will be, as their owner's, and nobody sees them (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const [one, two] = [await partsOn(t, ground), await partsOn(t, ground)]
    const id = await one.create(who, '/data/f')
    const sent = await Promise.all(
      [...'abcd'].map((letter, index) =>
        (index % 2 ? one : two).write(who, id, index + 1, piece(letter, index === 3 ? 5 : MiB)),
      ),
    )
    t.equal(sent.length, 4)
    const [name = ''] = hiddenIn(ground)
    const staged = statSync(join(ground.root, name))
    if (grade === 'native') t.match(staged, { uid: 41001 })
    await one.worker.backend.sweep(0)
    t.same(hiddenIn(ground), [name], 'no sweep of the back end takes it')
    const { entry } = await two.complete(who, id, [1, 2, 3, 4], { record: () => 'kept with it' })
    const { kept } = await one.storage.getKept(callOf(who), parsePath('/data/f'))
    t.equal(kept.record, 'kept with it')
    const whole = [...'abc'].map((letter) => piece(letter, MiB)).join('') + piece('d', 5)
    t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), whole)
    t.equal(entry.size, whole.length)
    if (grade === 'native') t.match(statSync(join(ground.root, 'f')), { uid: 41001, gid: 41001 })
    t.same(hiddenIn(ground), [])
    t.equal(one.worker.backend.openHandles, 0)
    t.equal(two.worker.backend.openHandles, 0)
  })

  t.test(`parts of any sizes are moved, or copied to another draft (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await partsOn(t, ground)
    const sizes: ReadonlyArray<readonly number[]> = [
      [MiB, MiB, 1],
      [1, MiB, MiB],
      [MiB, MiB + 1, MiB, MiB, MiB],
      [5, 4, 3, 2, 1],
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    ]
    for (const [index, each] of sizes.entries()) {
      const id = await one.create(who, `/data/f${index}`)
      const contents = each.map((size, at) => piece(String.fromCharCode(97 + at), size))
      const numbers = each.map((_, at) => at + 1)
      for (const number of index % 2 ? [...numbers].reverse() : numbers) {
        await one.write(who, id, number, contents[number - 1] ?? '')
      }
      await one.complete(who, id, numbers)
      t.equal(readFileSync(join(ground.root, `f${index}`), 'utf8'), contents.join(''))
      t.same(hiddenIn(ground), [])
    }
    t.equal(one.worker.backend.openHandles, 0)
  })

  t.test(`a process that is killed in a part takes no other one with it (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await partsOn(t, ground)
    const id = await one.create(who, '/data/f')
    await one.write(who, id, 1, piece('a', MiB))
    const child = start(t, ground, id, 'part2')
    await told(child, 'sending')
    child.kill('SIGKILL')
    await once(child, 'exit')
    t.same(await one.numbers(who, id), [1])
    await one.write(who, id, 2, piece('b', 10))
    await one.complete(who, id, [1, 2])
    t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), piece('a', MiB) + piece('b', 10))
    t.same(hiddenIn(ground), [])
  })

  t.test(`a process that is killed while it completes loses nothing (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await partsOn(t, ground)
    const conditions = { ifNoneMatch: '*' } as const
    // Parts in their places, one that has to be moved, and a draft that has to be copied.
    const kinds = [
      { sizes: [10, 10, 3], order: [1, 2, 3], steps: ['published'] },
      { sizes: [10, 10, 3], order: [2, 1, 2, 3], steps: ['overwriting', 'renaming'] },
      { sizes: [10, 11, 10, 10], order: [1, 2, 3, 4], steps: ['overwriting', 'published'] },
    ] as const
    const play = async (name: string, { sizes, order }: (typeof kinds)[number], step: string) => {
      const id = await one.create(who, `/data/${name}`)
      const contents = sizes.map((size, at) => piece('abcd'.charAt(at), size))
      for (const number of order) await one.write(who, id, number, contents[number - 1] ?? '')
      const numbers = sizes.map((_, at) => at + 1)
      const child = start(t, ground, id, numbers.join(','), step)
      await once(child, 'exit')
      t.equal(child.signalCode, 'SIGKILL')
      if (step !== 'published') t.notOk(readdirSync(ground.root).includes(name), 'nobody sees it')
      t.same(await one.numbers(who, id), numbers)
      const written = await one.complete(who, id, numbers, { conditions })
      t.match(written, { created: true, entry: { size: contents.join('').length } })
      t.equal(readFileSync(join(ground.root, name), 'utf8'), contents.join(''))
      t.match(await one.storage.parts.completed(callOf(who), id, parsePath(`/data/${name}`)), {
        entry: { version: written.entry.version },
      })
    }
    const plays = kinds.flatMap((kind, index) => {
      const steps = grade === 'gateway' || index === 2 ? kind.steps : []
      return steps.map((step) => play(`f-${index}-${step}`, kind, step))
    })
    await Promise.all(plays)
    t.same(hiddenIn(ground), [])
    t.equal(one.worker.backend.openHandles, 0)
  })

  t.test(`what a killed completion left goes with the upload (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    let ahead = 0
    const one = await partsOn(t, ground, () => ahead)
    for (const how of ['abort', 'sweep']) {
      const id = await one.create(who, '/data/f')
      for (const [at, size] of [10, 11, 10, 10].entries()) await one.write(who, id, at + 1, piece('a', size))
      await once(start(t, ground, id, '1,2,3,4', 'overwriting'), 'exit')
      t.equal(hiddenIn(ground).length, 2)
      if (how === 'abort') await one.storage.parts.abort(callOf(who), id)
      else {
        ahead += 3_600_001
        t.equal(await one.storage.sweepUploads(), 1)
      }
      t.same(readdirSync(ground.root), [], how)
    }
  })

  t.test(`a file that was made before its process died is recognised (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await partsOn(t, ground)
    for (const beside of [false, true]) {
      const id = await one.create(who, `/data/made-${beside}`)
      await one.write(who, id, 1, 'all')
      const [name = ''] = hiddenIn(ground)
      // Between the two steps of a file system that refuses no replacing: both names are there.
      linkSync(join(ground.root, name), join(ground.root, `made-${beside}`))
      if (!beside) rmSync(join(ground.root, name))
      await t.rejects(one.write(who, id, 2, 'more'), { code: 'not-found' }, 'nothing is written to what is seen')
      t.match(await one.complete(who, id, [1]), { created: true, entry: { size: 3 } })
      t.same(hiddenIn(ground), [])
    }
  })
}

for (const { grade, spooled } of [
  { grade: 'gateway', spooled: false },
  { grade: 'native', spooled: false },
  { grade: 'gateway', spooled: true },
] as const) {
  const options = { skip: grade === 'native' && skip }
  const title = `a process that was stopped in a part writes to no file that is seen (${grade}${spooled ? ', spool' : ''})`
  t.test(title, options, async (t) => {
    const ground = { ...groundFor(t, grade), spooled }
    const one = await partsOn(t, ground)
    const id = await one.create(who, '/data/f')
    await one.write(who, id, 1, piece('a', MiB))
    const child = start(t, ground, id, 'part2')
    const said: unknown[] = []
    child.on('message', (message) => said.push(message))
    await eventually(() => said.includes('sending'), 20_000, 'it sends nothing')
    child.kill('SIGSTOP')
    await eventually(() => / T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')), 20_000, 'it has not stopped')
    await one.write(who, id, 2, piece('b', MiB))
    await one.complete(who, id, [1, 2])
    const exit = once(child, 'exit')
    child.kill('SIGCONT')
    await exit
    t.ok(['busy', 'not-found', 'stale'].includes(String(said.at(-1))), String(said.at(-1)))
    t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), piece('a', MiB) + piece('b', MiB))
    t.same(hiddenIn(ground), [])
    t.equal(one.worker.backend.openHandles, 0)
    t.equal((await one.storage.stat(callOf(who), parsePath('/data/f'))).size, 2 * MiB)
  })
}
