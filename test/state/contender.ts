/** A second process for the tests of the state store: does what its arguments say and tells by IPC. */

import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openState } from '../../gateway/state/open.ts'

const [directory = '', task = '', argument = ''] = process.argv.slice(2)
const state = await openState({ directory, timing: { renew: 100, life: 500 } })
const tell = (message: string) => new Promise<void>((resolve) => process.send?.(message, () => resolve()))

if (task === 'count') {
  // Read, pause, write: without mutual exclusion counts are lost.
  for (let turn = 0; turn < 25; turn++) {
    await state.leases.withLease('counter', 20_000, async () => {
      const count = Number(readFileSync(argument, 'utf8'))
      await sleep(1)
      writeFileSync(argument, String(count + 1))
    })
  }
  await state.close()
  await tell('done')
  process.disconnect?.()
} else if (task === 'hold') {
  await state.journal.add('posix:/x', 'left-behind')
  await state.journal.add('posix:/x', 'left-in-haste', { hasty: true })
  await state.leases.withLease('held', 1000, async () => {
    await tell('holding')
    await new Promise(() => {})
  })
}
