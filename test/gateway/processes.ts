/** What the kernel says of a process and of all that it started, from /proc. */

import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** The process and its descendants that are alive now; zombies are not. */
export function familyOf(pid: number): number[] {
  const children = new Map<number, number[]>()
  let isAlive = false
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined
    if (stat === undefined || stat.state === 'Z') continue
    if (Number(name) === pid) isAlive = true
    children.set(stat.parent, [...(children.get(stat.parent) ?? []), Number(name)])
  }
  const family = isAlive ? [pid] : []
  const from = [pid]
  for (let parent = from.pop(); parent !== undefined; parent = from.pop()) {
    const found = children.get(parent) ?? []
    family.push(...found)
    from.push(...found)
  }
  return family
}

/** The state letter of proc_pid_stat(5) and the parent. The name of the program may hold anything, so it is cut out. */
function statOf(pid: number): { readonly state: string; readonly parent: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state = '', parent] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state, parent: Number(parent) }
  } catch {
    return undefined
  }
}

/** One line of /proc/PID/status. */
export function statusOf(pid: number, name: string): string {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? ''
}

/** Bytes in memory, pages shared by several of them counted once. */
export function memoryOf(pids: readonly number[]): number {
  let kilobytes = 0
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    kilobytes += Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0)
  }
  return kilobytes * 1024
}

/** Resolves when none of them is alive any more; there is no event for processes that are not children of ours. */
export async function gone(pids: readonly number[], within = 10_000): Promise<void> {
  await eventually(() => pids.every((pid) => (statOf(pid)?.state ?? 'Z') === 'Z'), within, 'processes did not end')
}

/** Looks until it is true. For what tells nobody when it happens; throws when it takes longer than `within` ms. */
export async function eventually(test: () => boolean | Promise<boolean>, within: number, what: string): Promise<void> {
  const end = performance.now() + within
  while (!(await test())) {
    if (performance.now() > end) throw new Error(`${what} within ${within} ms`)
    await sleep(10)
  }
}
