/** Requests for locks that are taken back, and processes that are gone. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import t from 'tap'
import { Wishes } from '../../gateway/api/fs/wishes.ts'
import { processNames } from '../../gateway/serve/process-name.ts'

t.test('a wish that is taken back is stopped, waited for, and refused when it comes later', async (t) => {
  const wishes = new Wishes()
  const order: string[] = []
  const running = wishes.run('one', async (signal) => {
    await once(signal, 'abort')
    order.push('stopped')
    await Promise.resolve()
    order.push('ended')
  })
  await wishes.cancel('one')
  order.push('over')
  await running
  t.same(order, ['stopped', 'ended', 'over'])
  await t.rejects(
    wishes.run('one', async () => t.fail('it runs')),
    { code: 'cancelled' },
  )
  await wishes.cancel('early')
  await t.rejects(
    wishes.run('early', async () => t.fail('it runs')),
    { code: 'cancelled' },
  )
  t.equal(await wishes.run('other', async ({ aborted }) => aborted), false)
})

t.test('a request that is sent again waits for the first to end', async (t) => {
  const wishes = new Wishes()
  const { promise, resolve: end } = Promise.withResolvers<void>()
  const order: string[] = []
  const first = wishes.run('one', async () => {
    await promise
    order.push('first')
  })
  const second = wishes.run('one', async () => void order.push('second'))
  end()
  await Promise.all([first, second])
  t.same(order, ['first', 'second'])
})

t.test('what is taken back is remembered in bounds', async (t) => {
  const wishes = new Wishes()
  for (let index = 0; index < 300; index++) await wishes.cancel(`${index}`)
  await t.rejects(
    wishes.run('299', async () => {}),
    { code: 'cancelled' },
  )
  await wishes.run('0', async () => t.pass('forgotten'))
})

t.test('a process is known by its name as long as it lives, and only with the key', async (t) => {
  const key = Buffer.alloc(32, 1)
  const names = processNames(key)
  if (!names) throw new Error('the kernel does not tell of processes')
  t.match(names.own, /^[A-Za-z0-9_-]{12}$/)
  t.equal(names.isGone(names.own), false)
  const module = resolve(import.meta.dirname, '../../gateway/serve/process-name.ts')
  const program = `const { processNames } = await import(${JSON.stringify(module)})
process.stdout.write(processNames(Buffer.alloc(32, 1)).own)
process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [name] = await once(child.stdout, 'data')
  const other = String(name)
  t.not(other, names.own)
  t.equal(names.isGone(other), false, 'it lives')
  t.equal(processNames(Buffer.alloc(32, 2))?.isGone(other), false, 'nothing is known of those with another key')
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  t.equal(names.isGone(other), true)
  for (const nonsense of ['', 'AAAAAAAAAAAA', 'x'.repeat(100)]) t.equal(names.isGone(nonsense), false, nonsense)
  const forged = Buffer.from(names.own, 'base64url')
  forged[8] = (forged[8] ?? 0) ^ 1
  t.equal(names.isGone(forged.toString('base64url')), true, 'no process of ours has this one')
})
