/** A link that takes the place of a directory or file while requests run never leads outside the tree. */

import { once } from 'node:events'
import { readdirSync, readFileSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { everything, Guarded, makeLab, openToAll } from '../gateway/tree.ts'

t.setTimeout(120_000)

const time = 3000
const swapper = new URL('../posix/confine-swapper.ts', import.meta.url)

/** Exchanges two names for as long as `work` runs. */
async function whileSwapping(
  directory: string,
  names: readonly [string, string],
  work: () => Promise<void>,
): Promise<number> {
  const board = new SharedArrayBuffer(4)
  const worker = new Worker(swapper, { workerData: { directory, names, board } })
  // Both come in one go when the thread ends.
  const ended = Promise.all([once(worker, 'message'), once(worker, 'exit')])
  await once(worker, 'online')
  try {
    await work()
  } finally {
    Atomics.store(new Int32Array(board), 0, 1)
  }
  const [[count]] = await ended
  return Number(count)
}

for (const symlinks of ['none', 'within']) {
  t.test(
    `with symlinks: ${symlinks} no content from outside is ever sent or written`,
    { timeout: 60_000 },
    async (t) => {
      const gateway = await startTestGateway(t, {
        workers: 2,
        mounts: [
          {
            path: '/lab',
            backend: { symlinks },
            make: (top) => {
              const tree = makeLab(top)
              for (const name of ['alice/dir', 'alice/inner']) tree.directory(name, 'alice')
              tree.file('alice/dir/file', 'alice', 'inside')
              tree.file('alice/inner/file', 'alice', 'inside')
              tree.file('alice/dir/name', 'alice', 'inside')
              // Its ACLs would let alice in: only the confinement keeps her out.
              const outside = new Guarded(`${top}-outside`)
              outside.directory('', 'alice', [...openToAll, `A:fd:OWNER@:${everything}`])
              outside.file('file', 'alice', 'OUTSIDE')
              symlinkSync(`${top}-outside`, join(top, 'alice/link'))
              symlinkSync(`${top}-outside/file`, join(top, 'alice/dir/other'))
            },
          },
        ],
      })
      const alice = join(gateway.tree('/lab'), 'alice')
      const outside = `${gateway.tree('/lab')}-outside`
      const seen = new Map<string, number>()
      const count = (answer: { readonly status: number; readonly text: string }) => {
        const what = `${answer.status}${answer.status === 200 && answer.text.length < 20 ? ` ${answer.text}` : ''}`
        seen.set(what, (seen.get(what) ?? 0) + 1)
        if (answer.text.includes('OUTSIDE')) t.fail(`content from outside: ${answer.text}`)
      }
      let round = 0
      const ask = async (
        requests: ReadonlyArray<() => Promise<{ readonly status: number; readonly text: string }>>,
      ) => {
        const end = performance.now() + time / 2
        while (performance.now() < end) {
          round++
          for (const answer of await Promise.all(requests.map((request) => request()))) count(answer)
        }
      }
      const directories = await whileSwapping(alice, ['dir', 'link'], () =>
        ask([
          () => gateway.get('/lab/alice/dir/file', 'alice'),
          () => gateway.get('/lab/alice/link/file', 'alice'),
          () => gateway.get('/lab/alice/dir/', 'alice'),
          () => gateway.put(`/lab/alice/dir/new${round}`, 'alice', 'written'),
          () => gateway.put('/lab/alice/dir/file', 'alice', 'inside'),
        ]),
      )
      if (directories % 2 === 1) {
        renameSync(join(alice, 'dir'), join(alice, 'between'))
        renameSync(join(alice, 'link'), join(alice, 'dir'))
        renameSync(join(alice, 'between'), join(alice, 'link'))
      }
      const files = await whileSwapping(join(alice, 'dir'), ['name', 'other'], () =>
        ask([
          () => gateway.get('/lab/alice/dir/name', 'alice'),
          () => gateway.get('/lab/alice/dir/other', 'alice'),
          () => gateway.put('/lab/alice/dir/name', 'alice', 'inside'),
        ]),
      )
      t.ok(directories > 100 && files > 100, `${directories} and ${files} exchanges`)
      t.ok((seen.get('200 inside') ?? 0) > 0, `some were served: ${JSON.stringify(Object.fromEntries(seen))}`)
      t.same(readdirSync(outside), ['file'], 'nothing was written outside')
      t.equal(readFileSync(join(outside, 'file'), 'utf8'), 'OUTSIDE', 'nor changed')
      for (const status of [...seen.keys()].map((what) => Number(what.slice(0, 3)))) {
        t.ok(status < 500 || status === 503, `no answer is ${status}`)
      }
    },
  )
}
