/** Locks between processes that know of each other through the state store alone. */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { lockedWorld } from './locked-world.ts'

t.setTimeout(120_000)

interface Told {
  readonly commits: readonly string[]
  readonly codes: Readonly<Record<string, number>>
}

async function startWriter(t: Test, directory: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'lock-writer.ts'), [directory], { execArgv: [] })
  t.teardown(() => void child.kill('SIGKILL'))
  await once(child, 'message')
  return child
}

async function end(child: ChildProcess): Promise<Told> {
  const told = once(child, 'message') as Promise<[Told]>
  child.send('end')
  return (await told)[0]
}

t.test('while a lock is held no other process makes a commit', async (t) => {
  const { one, directory } = await lockedWorld(t)
  const writers = [await startWriter(t, directory), await startWriter(t, directory)]
  const held: [bigint, bigint][] = []
  for (let round = 0; round < 20; round++) {
    const lock = await one.lock('alice', '/data/d/f')
    const from = process.hrtime.bigint()
    await sleep(10)
    held.push([from, process.hrtime.bigint()])
    await one.unlock('alice', '/data/d/f', lock)
    await sleep(10)
  }
  for (const writer of writers) {
    const { commits, codes } = await end(writer)
    const wrong = commits.filter((at) => held.some(([from, to]) => BigInt(at) > from && BigInt(at) < to))
    t.same(wrong, [], `${commits.length} commits, ${codes.locked} refused`)
    t.ok(commits.length > 20, 'between locks it wrote')
    t.ok((codes.locked ?? 0) > 20, 'and it was refused')
    t.same(Object.keys(codes).sort(), ['locked', 'ok'])
  }
})

t.test('a process that was stopped is waited for until it must know by itself', async (t) => {
  const { one, directory } = await lockedWorld(t)
  const writer = await startWriter(t, directory)
  writer.kill('SIGSTOP')
  const before = performance.now()
  const lock = await one.lock('alice', '/data/d/f')
  const from = process.hrtime.bigint()
  const took = performance.now() - before
  t.ok(took > 500 && took < 6000, `it took ${Math.round(took)} ms`)
  writer.kill('SIGCONT')
  await sleep(300)
  const to = process.hrtime.bigint()
  await one.unlock('alice', '/data/d/f', lock)
  await sleep(100)
  const { commits, codes } = await end(writer)
  t.same(
    commits.filter((at) => BigInt(at) > from && BigInt(at) < to),
    [],
  )
  t.ok((codes.locked ?? 0) > 0, JSON.stringify(codes))
  t.ok(
    commits.some((at) => BigInt(at) > to),
    'it writes again afterwards',
  )
})

t.test('a process that is killed is waited for no longer than it would have lived', async (t) => {
  const { one, directory } = await lockedWorld(t)
  const writer = await startWriter(t, directory)
  writer.kill('SIGKILL')
  await once(writer, 'exit')
  const before = performance.now()
  await one.lock('alice', '/data/d/f')
  t.ok(performance.now() - before < 6000)
})
