/**
 * Three minutes of mixed work by several people on a whole gateway: downloads, uploads, replacements, listings, removals,
 * callers who go away. Nothing may be left over: descriptors, memory, staging files, wrong answers.
 */

import { readdirSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { familyOf, memoryOf } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'

const minutes = Number(process.env.MINUTES ?? 3)
const people = ['alice', 'carol'] as const

function descriptors(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0)
}

async function one(gateway: TestGateway, random: () => number): Promise<void> {
  const user = people[Math.floor(random() * people.length)] ?? 'alice'
  const path = `/lab/p01/file-${Math.floor(random() * 50)}`
  const choice = random()
  if (choice < 0.35) {
    const body = Buffer.alloc(Math.floor(random() ** 4 * 2 ** 21), 7)
    const { status } = await gateway.request({ user, method: 'PUT', path, body })
    if (![201, 204].includes(status)) throw new Error(`PUT ${status}`)
  } else if (choice < 0.85) {
    const { status } = await gateway.request({ user, path })
    if (![200, 404].includes(status)) throw new Error(`GET ${status}`)
  } else if (choice < 0.95) {
    const { status } = await gateway.request({ user, path: '/lab/p01/', headers: { accept: 'application/json' } })
    if (status !== 200) throw new Error(`list ${status}`)
  } else {
    const { status } = await gateway.request({ user, method: 'DELETE', path })
    if (![204, 404].includes(status)) throw new Error(`DELETE ${status}`)
  }
}

t.test('nothing is left over after a long mixed load', { timeout: (minutes + 3) * 60_000 }, async (t) => {
  const gateway = await startTestGateway(t, {
    workers: 2,
    mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
  })
  const load = async (until: number) => {
    while (Date.now() < until) await one(gateway, Math.random)
  }
  // What caches and threads take is taken in the first part; growth is what comes after it.
  await Promise.all(Array.from({ length: 16 }, () => load(Date.now() + 20_000)))
  await pause(3000)
  const before = { fds: descriptors(familyOf(gateway.pid)), memory: memoryOf(familyOf(gateway.pid)) }
  await Promise.all(Array.from({ length: 16 }, () => load(Date.now() + minutes * 60_000)))
  await pause(3000)
  const after = { fds: descriptors(familyOf(gateway.pid)), memory: memoryOf(familyOf(gateway.pid)) }
  t.comment(JSON.stringify({ before, after }))
  t.ok(after.fds <= before.fds + 20, `descriptors: ${before.fds}, then ${after.fds}`)
  t.ok(after.memory < before.memory * 1.5, `memory: ${before.memory}, then ${after.memory}`)
})
