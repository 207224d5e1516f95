/** Uploads that go on where they broke off, on real files: whose they are, who sees them, and what a kill leaves. */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, linkSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { OffsetError } from '../../gateway/core/uploads.ts'
import { act, alice, bob, callOf } from './backend-world.ts'
import { type Grade, type Ground, groundFor, openWorker, type Worker } from './upload-ground.ts'

t.setTimeout(120_000)
const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
const grades: readonly Grade[] = ['gateway', 'native']
const file = parsePath('/data/f')

const bytes = (content: string) => Readable.from([Buffer.from(content)])

async function workersOn(t: Test, ground: Ground, count: number, ahead = () => 0): Promise<readonly Worker[]> {
  const workers: Worker[] = []
  for (let left = count; left > 0; left--) {
    const worker = await openWorker(ground, ahead)
    t.teardown(() => worker.close())
    workers.push(worker)
  }
  return workers
}

function hiddenIn({ root }: Ground): string[] {
  return readdirSync(root).filter((name) => name.startsWith('.portolan-stage-'))
}

function start({ root, state, grade }: Ground, id: string, offset: number): ChildProcess {
  const program = new URL('./upload-program.ts', import.meta.url)
  return fork(program, [root, state, grade, id, String(offset)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

async function told(child: ChildProcess, word: string): Promise<void> {
  for (;;) {
    const [message] = await once(child, 'message')
    if (message === word) return
    if (message !== 'open') throw new Error(`the child said ${String(message)}`)
  }
}

for (const grade of grades) {
  const options = { skip: grade === 'native' && skip }

  t.test(`an upload lies beside its target, as its owner's, and nobody sees it (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const [one, two] = await workersOn(t, ground, 2)
    if (!one || !two) return
    const call = callOf(alice)
    const { id } = await one.storage.uploads.create(call, file)
    await one.storage.uploads.append(call, id, 0, bytes('hello '))
    const [name = ''] = hiddenIn(ground)
    t.equal(readFileSync(join(ground.root, name), 'utf8'), 'hello ')
    if (grade === 'native') t.equal(statSync(join(ground.root, name)).uid, 41001)
    const listed = await one.storage.list(call, parsePath('/data'))
    for await (const page of listed.pages()) t.same(page, [])
    await t.rejects(one.storage.stat(call, parsePath(`/data/${name}`)), { code: 'not-found' })
    await one.backend.sweep(0)
    t.equal(hiddenIn(ground).length, 1, 'no sweep of the back end takes it')
    await two.storage.uploads.append(call, id, 6, bytes('world'))
    const { entry } = await two.storage.uploads.finish(call, id)
    t.equal(entry.size, 11)
    t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), 'hello world')
    t.same(hiddenIn(ground), [])
    if (grade === 'native') t.match(statSync(join(ground.root, 'f')), { uid: 41001, gid: 41001 })
    t.equal((await one.storage.uploads.finish(call, id)).entry.version, entry.version)
    t.equal(one.backend.openHandles, 0)
    t.equal(two.backend.openHandles, 0)
  })

  t.test(
    `a file that is replaced keeps its mode, and what is behind the offset is cut (${grade})`,
    options,
    async (t) => {
      const ground = groundFor(t, grade)
      const [one] = await workersOn(t, ground, 1)
      if (!one) return
      const call = callOf(alice)
      const put = await one.storage.write(call, file)
      put.body.end('old')
      await put.commit()
      await one.storage.setAttributes(call, file, { mode: 0o640 }).catch(() => undefined)
      const mode = statSync(join(ground.root, 'f')).mode
      const { id } = await one.storage.uploads.create(call, file)
      await one.storage.uploads.append(call, id, 0, bytes('new'))
      const [name = ''] = hiddenIn(ground)
      // As a process leaves it that was killed before it could say how far it was.
      writeFileSync(join(ground.root, name), 'newer than known')
      t.match(await one.storage.uploads.finish(call, id), { created: false, entry: { size: 3 } })
      t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), 'new')
      t.equal(statSync(join(ground.root, 'f')).mode, mode)
    },
  )

  t.test(`an upload goes on after the process that appended was killed (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const [one] = await workersOn(t, ground, 1)
    if (!one) return
    const call = callOf(alice)
    const { uploads } = one.storage
    const { id } = await uploads.create(call, file)
    await uploads.append(call, id, 0, bytes('begun '))
    const child = start(ground, id, 6)
    await told(child, 'sending')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const { offset } = await uploads.state(call, id, { settled: true })
    t.ok(offset >= 6, 'nothing that was acknowledged is lost')
    const error = await uploads.append(call, id, offset + 1, bytes('?')).catch((thrown: unknown) => thrown)
    t.ok(error instanceof OffsetError && error.state.offset === offset)
    await uploads.append(call, id, offset, bytes('ended'))
    const { entry } = await uploads.finish(call, id)
    t.equal(entry.size, offset + 5)
    const content = readFileSync(join(ground.root, 'f'), 'utf8')
    t.ok(content.startsWith('begun ') && content.endsWith('ended'))
    t.same(hiddenIn(ground), [])
  })

  t.test(`the newer of two appends in two processes goes on, the older is told (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const [one] = await workersOn(t, ground, 1)
    if (!one) return
    const call = callOf(alice)
    const { uploads } = one.storage
    const { id } = await uploads.create(call, file)
    const child = start(ground, id, 0)
    await told(child, 'sending')
    const exit = once(child, 'exit')
    const busy = told(child, 'busy')
    const { offset } = await uploads.state(call, id, { settled: true })
    t.ok(offset > 0, 'what the older one brought is kept')
    await busy
    await exit
    t.match(await uploads.append(call, id, offset, bytes('end')), { offset: offset + 3 })
    const { entry } = await uploads.finish(call, id)
    t.equal(entry.size, offset + 3)
  })

  t.test(`of many that append at one offset one wins (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const workers = await workersOn(t, ground, 3)
    const [one] = workers
    if (!one) return
    const call = callOf(alice)
    const { id } = await one.storage.uploads.create(call, file)
    const letters = [...'abcdefghi']
    const outcomes = await Promise.allSettled(
      letters.map((letter, index) =>
        workers[index % workers.length]?.storage.uploads.append(call, id, 0, bytes(letter.repeat(200_000))),
      ),
    )
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue
      const { code } = StorageError.from(outcome.reason)
      t.ok(code === 'busy' || code === 'precondition', code)
    }
    const { offset } = await one.storage.uploads.state(call, id, { settled: true })
    await one.storage.uploads.finish(call, id)
    const content = readFileSync(join(ground.root, 'f'), 'utf8')
    t.equal(content.length, offset)
    const won = outcomes.filter(({ status }) => status === 'fulfilled').length
    t.ok(won <= 1, 'never two')
    t.equal(new Set(content).size, offset === 0 ? 0 : 1, 'never bytes of two')
  })

  t.test(`what nobody finishes is taken away, also after a kill (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    let ahead = 0
    const [one] = await workersOn(t, ground, 1, () => ahead)
    if (!one) return
    const { id } = await one.storage.uploads.create(callOf(alice), file)
    const child = start(ground, id, 0)
    await told(child, 'sending')
    child.kill('SIGKILL')
    await once(child, 'exit')
    t.equal(await one.storage.sweepUploads(), 0)
    t.equal(hiddenIn(ground).length, 1)
    ahead = 3_600_001
    t.equal(await one.storage.sweepUploads(), 1)
    t.same(readdirSync(ground.root), [])
    t.equal(one.backend.openHandles, 0)
  })

  t.test(`a process that died when the file was made is as one that said so (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const [one] = await workersOn(t, ground, 1)
    if (!one) return
    const call = callOf(alice)
    const conditions = { ifNoneMatch: '*' } as const
    for (const beside of [false, true]) {
      const path = parsePath(`/data/made-${beside}`)
      const { id } = await one.storage.uploads.create(call, path, { conditions })
      await one.storage.uploads.append(call, id, 0, bytes('all'))
      const [name = ''] = hiddenIn(ground)
      // Between the two steps of a file system that refuses no replacing: both names are there.
      linkSync(join(ground.root, name), join(ground.root, `made-${beside}`))
      if (!beside) rmSync(join(ground.root, name))
      t.match(await one.storage.uploads.finish(call, id), { created: true, entry: { size: 3 } })
      t.same(hiddenIn(ground), [])
    }
    const { id } = await one.storage.uploads.create(call, file)
    for (const name of hiddenIn(ground)) rmSync(join(ground.root, name))
    await t.rejects(one.storage.uploads.append(call, id, 0, bytes('x')), { code: 'not-found' })
    await t.rejects(one.storage.uploads.finish(call, id), { code: 'not-found' })
    await t.rejects(one.storage.uploads.state(call, id), { code: 'not-found' })
  })

  t.test(
    `a directory that looks empty can be removed, and what was to come goes with it (${grade})`,
    options,
    async (t) => {
      const ground = groundFor(t, grade)
      const [one] = await workersOn(t, ground, 1)
      if (!one) return
      const call = callOf(alice)
      const directory = parsePath('/data/d')
      await one.storage.mkdir(call, directory)
      const { id } = await one.storage.uploads.create(call, parsePath('/data/d/f'))
      writeFileSync(join(ground.root, 'd/seen'), '')
      await t.rejects(act(one.backend.remove(parsePath('/d'), call)), { code: 'not-empty' })
      t.equal(readdirSync(join(ground.root, 'd')).length, 2)
      rmSync(join(ground.root, 'd/seen'))
      await one.storage.remove(call, directory)
      t.same(readdirSync(ground.root), [])
      await t.rejects(one.storage.uploads.append(call, id, 0, bytes('x')), { code: 'no-parent' })
      await one.storage.uploads.remove(call, id)
    },
  )

  t.test(`a file put in the place of an upload is not written to (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const [one] = await workersOn(t, ground, 1)
    if (!one) return
    const call = callOf(alice)
    const { id } = await one.storage.uploads.create(call, file)
    const [name = ''] = hiddenIn(ground)
    writeFileSync(join(ground.root, 'other'), 'precious')
    chmodSync(join(ground.root, 'other'), 0o666)
    rmSync(join(ground.root, name))
    linkSync(join(ground.root, 'other'), join(ground.root, name))
    await t.rejects(one.storage.uploads.append(call, id, 0, bytes('x')), { code: 'not-found' })
    t.equal(readFileSync(join(ground.root, 'other'), 'utf8'), 'precious')
    await t.rejects(one.storage.uploads.state(callOf(bob), id), { code: 'not-found' })
  })
}
