/** A process that is stopped in the middle of an append, taken for dead, and wakes up. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { eventually } from '../gateway/processes.ts'
import { alice, callOf } from './backend-world.ts'
import { groundFor, openWorker } from './upload-ground.ts'

t.setTimeout(120_000)
const root = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
const call = callOf(alice)
const bytes = (content: string) => Readable.from([Buffer.from(content)])

const kinds = [
  { grade: 'gateway', spooled: false },
  { grade: 'native', spooled: false },
  { grade: 'gateway', spooled: true },
] as const

for (const { grade, spooled } of kinds) {
  const options = { skip: grade === 'native' && root }
  t.test(`it writes to nothing that others go on with (${grade}${spooled ? ', spool' : ''})`, options, async (t) => {
    const ground = { ...groundFor(t, grade), spooled }
    const one = await openWorker(ground)
    t.teardown(() => one.close())
    const { uploads } = one.storage
    const { id } = await uploads.create(call, parsePath('/data/f'))
    const program = new URL('./upload-program.ts', import.meta.url)
    const child = fork(program, [ground.root, ground.state, grade, id, '0', spooled ? 'spooled' : ''], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    t.teardown(() => void child.kill('SIGKILL'))
    const said: unknown[] = []
    child.on('message', (message) => said.push(message))
    await eventually(() => said.includes('sending'), 20_000, 'it sends nothing')
    child.kill('SIGSTOP')
    await eventually(() => / T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')), 20_000, 'it has not stopped')
    const { offset } = await uploads.state(call, id, { settled: true })
    await t.rejects(uploads.append(call, id, offset, bytes('too early')), { code: 'busy' }, 'it still has the file')
    const exit = once(child, 'exit')
    child.kill('SIGCONT')
    await exit
    t.equal(said.at(-1), 'busy')
    t.match(await uploads.state(call, id, { settled: true }), { offset }, 'what it had not told does not count')
    await uploads.append(call, id, offset, bytes('end'))
    const { entry } = await uploads.finish(call, id)
    t.equal(entry.size, offset + 3)
    t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), `${'x'.repeat(offset)}end`)
    t.equal(one.backend.openHandles, 0)
  })
}
