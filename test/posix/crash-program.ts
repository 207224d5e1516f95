/** A gateway process for crash.test.ts: does one change, or competes for one version. Tells by IPC. */

import { PosixBackend } from '../../backends/posix/posix.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'
import { act, alice, callOf, codeOf, write } from './backend-world.ts'

const [root = '', stateDirectory = '', task = '', argument = ''] = process.argv.slice(2)
const state = await openState({ directory: stateDirectory, timing: { renew: 100, life: 500 } })
const backend = new PosixBackend(
  {
    name: 'posix:test',
    root,
    grade: process.env.PORTOLAN_TEST_GRADE === 'native' ? 'native' : 'gateway',
    threads: 1,
    operationsModule: new URL('./crash-operations.ts', import.meta.url).href,
  },
  state,
)
await backend.ready()
const tell = (message: unknown) => new Promise<void>((resolve) => process.send?.(message, () => resolve()))

if (task === 'write') {
  await write(backend, parsePath('/file'), 'new '.repeat(100_000))
} else if (task === 'mkdir') {
  await act(backend.mkdir(parsePath('/directory'), callOf(alice)))
} else if (task === 'compete') {
  await tell('ready')
  const outcomes: unknown[] = []
  for await (const version of versions()) {
    const outcome = await codeOf(write(backend, parsePath('/file'), argument, { condition: { versions: [version] } }))
    outcomes.push(outcome)
    await tell({ won: outcome !== 'precondition', outcome: typeof outcome === 'string' ? outcome : 'written' })
  }
}
await backend.close()
await state.close()
process.disconnect?.()

/** What the other side says until it says that it is over. */
async function* versions(): AsyncGenerator<string> {
  const queue: unknown[] = []
  let wake: (() => void) | undefined
  process.on('message', (message) => {
    queue.push(message)
    wake?.()
  })
  for (;;) {
    while (queue.length > 0) {
      const message = queue.shift()
      if (message === 'over') return
      yield String(message)
    }
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
}
