/** Commands that hang, flood, wait or are not wanted any more: bounded in time, number and output. */

import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { makeAce } from '../../acl/who.ts'
import { Slots } from '../../backends/gpfs/slots.ts'
import { calm, makeWorld, type World } from './world.ts'

interface Process {
  readonly words: string
  readonly group: string
}

/** What runs on this machine. */
function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        // After the name in parentheses: state, parent, process group.
        const [, , group = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
        return [{ words, group }]
      } catch {
        // Ended while we looked.
        return []
      }
    })
}

/** The process groups of the commands of a double. */
function groupsOf({ directory }: World): ReadonlySet<string> {
  const ours = processes().filter(({ words }) => words.includes(directory))
  return new Set(ours.map(({ group }) => group))
}

/** Whether nobody of the groups is left, zombies aside. */
function areGone(groups: ReadonlySet<string>): boolean {
  return !processes().some(({ words, group }) => words !== '' && groups.has(group))
}

/** Waits for what another process does; a bound, not a measure. */
async function until(t: Test, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await holds()) return
    await sleep(20)
  }
  t.fail(what)
}

const running = (world: World, count: number) => async () => (await world.double.calls()).length >= count

t.test('a command that hangs is killed at the deadline with all it has started', async (t) => {
  const world = await makeWorld(t)
  await world.double.fail({ mmgetacl: { hang: true } })
  const { acls } = world.scale({ deadline: 1500 })
  const asked = acls.read(world.top, calm)
  asked.catch(() => {})
  await until(t, 'it was started', running(world, 1))
  const groups = groupsOf(world)
  t.equal(groups.size, 1)
  t.notOk(groups.has(String(process.pid)), 'a group of its own')
  await t.rejects(asked, { name: 'StorageError', code: 'unavailable' })
  await until(t, 'nothing of it is left', () => areGone(groups))
  await world.double.fail({})
  t.ok((await acls.read(world.top, calm)).writable, 'its place is free again')
})

t.test('a caller who goes away ends the command', async (t) => {
  const world = await makeWorld(t)
  await world.double.fail({ mmgetacl: { hang: true } })
  const { acls } = world.scale()
  const caller = new AbortController()
  const asked = acls.read(world.top, caller.signal)
  asked.catch(() => {})
  await until(t, 'it was started', running(world, 1))
  const groups = groupsOf(world)
  caller.abort()
  await t.rejects(asked, { code: 'cancelled' })
  await t.rejects(acls.read(world.top, caller.signal), { code: 'cancelled' }, 'nothing is started for one who is gone')
  await until(t, 'nothing of it is left', () => areGone(groups))
  t.equal((await world.double.calls()).length, 1)
})

t.test('closing ends what runs and what waits', async (t) => {
  const world = await makeWorld(t)
  await world.double.fail({ mmgetacl: { hang: true } })
  const scale = world.scale({ atOnce: 1 })
  const asked = [1, 2, 3].map(() => scale.acls.read(world.top, calm))
  for (const each of asked) each.catch(() => {})
  await until(t, 'one was started', running(world, 1))
  const groups = groupsOf(world)
  await scale.close()
  for (const each of asked) await t.rejects(each, { code: 'unavailable' })
  await t.rejects(scale.acls.read(world.top, calm), { code: 'unavailable' })
  await until(t, 'nothing of it is left', () => areGone(groups))
  t.equal((await world.double.calls()).length, 1)
})

t.test('no more commands than allowed run at a time, and no more than allowed wait', async (t) => {
  const world = await makeWorld(t)
  await world.double.fail({ mmgetacl: { hang: true } })
  const { acls } = world.scale({ atOnce: 2, waiting: 1, deadline: 2500 })
  const asked = [1, 2, 3].map(() => acls.read(world.top, calm))
  for (const each of asked) each.catch(() => {})
  await t.rejects(acls.read(world.top, calm), { code: 'busy' })
  await until(t, 'two were started', running(world, 2))
  for (const each of asked) await t.rejects(each, { code: 'unavailable' })
  t.equal((await world.double.calls()).length, 2, 'the third had waited for its whole time')
})

t.test('input that nobody reads and output that never ends do not hold anything up', async (t) => {
  const world = await makeWorld(t)
  const { acls } = world.scale({ deadline: 20_000 })
  const entry = { type: 'allow', flags: 0, mask: 1, who: { user: 'x'.repeat(300) } } as const
  const long = { owner: undefined, group: undefined, dialect: 'gpfs', aces: Array(1000).fill(entry) } as const
  await world.double.fail({ mmputacl: { garbage: '', exit: 1 }, mmgetacl: { flood: 64 * 1024 * 1024 } })
  await t.rejects(acls.write(world.top, long, calm), { code: 'unavailable' })
  await world.double.fail({ mmputacl: { garbage: '' }, mmgetacl: { flood: 64 * 1024 * 1024 } })
  await acls.write(world.top, long, calm)
  await t.rejects(acls.read(world.top, calm), { code: 'unavailable' })
})

t.test('places are given in the order of asking, and those who leave are forgotten', async (t) => {
  const slots = new Slots(1, 2)
  const first = await slots.take(calm)
  const leaver = new AbortController()
  const second = slots.take(leaver.signal)
  const third = slots.take(calm)
  await t.rejects(slots.take(calm), { code: 'busy' })
  leaver.abort(new Error('gone'))
  await t.rejects(second, { message: 'gone' })
  first()
  first()
  const held = await third
  const fourth = slots.take(calm)
  let served = false
  fourth.then(() => {
    served = true
  })
  await sleep(0)
  t.notOk(served, 'giving back twice counts once')
  held()
  ;(await fourth)()
  ;(await slots.take(calm))()
})

t.test('what a command was handed is let go of when nothing of it is left that could look at it', async (t) => {
  const world = await makeWorld(t)
  const held = async (options: Parameters<World['scale']>[0], signal = calm) => {
    const fd = openSync(world.top, constants.O_RDONLY)
    let left: ReadonlySet<string> | undefined
    const release = () => {
      closeSync(fd)
      left = new Set([...groupsOf(world)].filter((group) => !areGone(new Set([group]))))
    }
    const { acls } = world.scale(options)
    const list = {
      owner: undefined,
      group: undefined,
      dialect: 'gpfs',
      aces: [makeAce('allow', 0, 1, 'OWNER@')],
    } as const
    const written = acls.writeHeld?.({ fd, release }, list, signal)
    if (!written) throw new Error('no descriptors are taken')
    const isReleased = async () => {
      await until(t, 'it was let go of', () => left !== undefined)
      t.equal(left?.size, 0, 'nothing runs')
    }
    return { written, isReleased }
  }
  const good = await held({})
  await good.written
  await good.isReleased()
  await world.double.fail({ mmputacl: { hang: true } })
  for (const prefix of [[], ['/usr/bin/env']]) {
    const hanging = await held({ deadline: 1500, prefix })
    await t.rejects(hanging.written, { code: 'unavailable' })
    await hanging.isReleased()
  }
  const missing = await held({ directory: '/nowhere' })
  await t.rejects(missing.written, { code: 'unavailable' })
  await missing.isReleased()
  const gone = await held({}, AbortSignal.abort())
  await t.rejects(gone.written, { code: 'cancelled' })
  await gone.isReleased()
})
