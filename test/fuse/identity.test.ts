/** Whose credential a process has: what /proc tells, and what is not believed. */

import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import type { CredentialSource } from '../../mounts/client/credentials/source.ts'
import type { Making, OneIdentity } from '../../mounts/fuse/file-system.ts'
import { work } from '../../mounts/fuse/identity/jobs.ts'
import { environmentOf, idsOf, stampOf } from '../../mounts/fuse/identity/proc.ts'
import { ProcessIdentities } from '../../mounts/fuse/identity/processes.ts'
import { Threads } from '../../mounts/fuse/identity/threads.ts'
import type { View } from '../../mounts/fuse/view.ts'
import { asking } from './asking.ts'
import { MemoryRemote } from './memory-remote.ts'

const uid = process.getuid?.() ?? 0
const token = 'some.token'

/** Waits for its input to end. */
async function started(
  t: Test,
  env: Readonly<Record<string, string>>,
): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn('/bin/cat', [], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  child.stdin.write('x')
  // It is the program that was asked for once it answers.
  await once(child.stdout, 'data')
  return child as ChildProcess & { readonly pid: number }
}

interface Wanted {
  readonly now?: () => number
  readonly mountpoint?: string
  readonly sweep?: number
  readonly isUsed?: () => boolean
  readonly ended?: () => void
}

function identities(t: Test, { isUsed = () => false, ended, ...more }: Wanted = {}) {
  const begun: CredentialSource[] = []
  const log: string[] = []
  const processes = new ProcessIdentities({
    origin: new URL('https://gateway.example'),
    now: () => 0,
    threads: { run: async (job) => work(job), close: async () => {} },
    connect: async (credential) => {
      begun.push(credential)
      return { remote: new MemoryRemote(), files: undefined as never }
    },
    log: (line) => log.push(line),
    ...more,
  })
  const views: OneIdentity[] = []
  const making: Making = {
    viewFor(identity) {
      views.push(identity)
      return { identity, close: async () => ended?.() } as unknown as View
    },
    isUsed,
  }
  t.teardown(() => processes.close())
  const ask = async (pid: number, as = uid) => processes.viewOf(asking(1, { pid, uid: as }), making)
  return { ask, begun, views, log, processes }
}

t.test('a process is told by its start and by its program', async (t) => {
  const child = await started(t, { A: '1', BEARER_TOKEN: token, BEARER_TOKEN_FILE: '' })
  t.equal(stampOf(child.pid), stampOf(child.pid))
  t.not(stampOf(child.pid), stampOf(process.pid))
  t.match(idsOf(child.pid), { uid, isPlain: true })
  t.same(environmentOf(child.pid, new Set(['BEARER_TOKEN'])), { BEARER_TOKEN: token })
  child.stdin?.end()
  await once(child, 'exit')
  t.equal(stampOf(child.pid), undefined)
  t.equal(idsOf(child.pid), undefined)
})

t.test('processes with one credential share a session, others have their own', async (t) => {
  const { ask, begun } = identities(t)
  const [one, same, other] = await Promise.all(
    [token, token, 'another.token'].map((each) => started(t, { BEARER_TOKEN: each })),
  )
  const view = await ask(one?.pid ?? 0)
  t.equal(await ask(same?.pid ?? 0), view)
  t.not(await ask(other?.pid ?? 0), view)
  t.equal(begun.length, 2)
  t.equal((await begun[0]?.current())?.reveal(), token)
})

t.test('without a credential there is no identity', async (t) => {
  const { ask, begun } = identities(t)
  const none = await started(t, { XDG_RUNTIME_DIR: '/nowhere' })
  await t.rejects(ask(none.pid), { code: 'unauthenticated' })
  await t.rejects(ask(process.pid), { message: 'EACCES' }, 'this process has none on its own mount')
  await t.rejects(ask(0), { message: 'EACCES' }, 'nor has one that is not seen')
  const child = await started(t, { BEARER_TOKEN: token })
  await t.rejects(ask(child.pid, uid + 1), { code: 'unauthenticated' }, 'nor one that asks as somebody else')
  t.equal(begun.length, 0)
})

t.test('a token file is its user’s, closed to others, named by a whole path outside of the mount', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-identity-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const good = join(directory, 'good')
  writeFileSync(good, `${token}\n`, { mode: 0o600 })
  const open = join(directory, 'open')
  writeFileSync(open, token)
  chmodSync(open, 0o644)
  const link = join(directory, 'link')
  symlinkSync(good, link)
  const rubbish = join(directory, 'rubbish')
  writeFileSync(rubbish, 'no token\nat all', { mode: 0o600 })
  for (const [file, isGood] of [
    [good, true],
    [link, true],
    [open, false],
    [rubbish, false],
    [directory, false],
    ['good', false],
    [join(directory, 'mount/token'), false],
    [join(directory, 'missing'), false],
  ] as const) {
    const { ask, begun } = identities(t, { mountpoint: join(directory, 'mount') })
    const child = await started(t, { BEARER_TOKEN_FILE: file })
    if (isGood) await t.resolves(ask(child.pid), file)
    else await t.rejects(ask(child.pid), { code: 'unauthenticated' }, file)
    if (isGood) t.equal((await begun[0]?.current())?.reveal(), token)
  }
})

t.test('sessions that nobody uses end', async (t) => {
  let time = 0
  const { ask, begun } = identities(t, { now: () => time })
  const [one, other] = [await started(t, { BEARER_TOKEN: token }), await started(t, { BEARER_TOKEN: 'other.token' })]
  const first = await ask(one.pid)
  time = 400_000
  await ask(other.pid)
  t.not(await ask(one.pid), first, 'the first has ended')
  t.equal(begun.length, 3)
})

t.test('they end also when nobody comes any more', async (t) => {
  let time = 0
  const ended = Promise.withResolvers<void>()
  const { ask } = identities(t, { now: () => time, sweep: 5, ended: ended.resolve })
  await ask((await started(t, { BEARER_TOKEN: token })).pid)
  time = 400_000
  await t.resolves(ended.promise)
})

t.test('a user has so many sessions that there are some left for others', async (t) => {
  const { ask, begun } = identities(t, { isUsed: () => true })
  const shell = (env: Readonly<Record<string, string>>) => started(t, env)
  for (let i = 0; i < 32; i++) await ask((await shell({ BEARER_TOKEN: `token.${i}` })).pid)
  await t.rejects(ask((await shell({ BEARER_TOKEN: 'one.more' })).pid), { message: 'EAGAIN' })
  t.equal(begun.length, 32)
})

t.test('threads that hang are in the way of their user alone', async (t) => {
  const made: { emit(event: string, answer: unknown): boolean }[] = []
  const make = () => {
    const worker = Object.assign(new EventEmitter(), {
      unref() {},
      terminate: async () => 0,
      postMessage(job: { readonly pid: number }) {
        if (job.pid !== 13) queueMicrotask(() => worker.emit('message', { done: { text: 'x' } }))
      },
    })
    made.push(worker)
    return worker as unknown as Worker
  }
  const threads = new Threads({ patience: 20, make })
  t.teardown(() => threads.close())
  const look = (pid: number, uid: number) => threads.run({ kind: 'look', pid, uid, stamp: '' }, uid)
  const hanging = await Promise.allSettled(Array.from({ length: 40 }, () => look(13, 1)))
  t.ok(hanging.every(({ status }) => status === 'rejected'))
  t.equal(made.length, 2, 'so many at once')
  await t.rejects(look(1, 1), { code: 'busy' })
  for (let uid = 2; uid < 12; uid++) {
    t.match(await look(1, uid), { text: 'x' })
    await t.rejects(look(13, uid), { code: 'timeout' })
  }
  t.match(await look(1, 100), { text: 'x' })
  for (const worker of made) worker.emit('message', {})
  t.match(await look(1, 1), { text: 'x' }, 'what has come back counts no longer')
})
