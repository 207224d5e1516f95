/** What /proc tells of a process (proc(5)), read with suspicion: it may end, or become another program, at any moment. */

import { readFileSync, readlinkSync } from 'node:fs'

/** Longest environment that is looked at. */
const longestEnvironment = 4 * 1024 * 1024

/** Whether /proc tells of processes by the numbers that we, and the kernel to us, know them by (pid_namespaces(7)). */
export function isOwnProc(): boolean {
  try {
    return readlinkSync('/proc/self') === String(process.pid)
  } catch {
    // It is not mounted.
    return false
  }
}

/** File-system ids of a thread, and whether it is what it seems: no set-user-id program. */
export interface Ids {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  /** Real, effective, saved and file-system uid and gid are the same. */
  readonly isPlain: boolean
}

/**
 * Another text for another process of the same number (its start time), and for another program in the same process (where
 * its code, stack and environment begin). Undefined where there is no such process.
 */
export function stampOf(pid: number): string | undefined {
  const text = read(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  // The name, in parentheses, may hold anything, also spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => fields[number - 3] ?? ''
  const [started, code, stack, begin, end] = [field(22), field(26), field(28), field(50), field(51)]
  return started === '' ? undefined : [started, code, stack, begin, end].join(' ')
}

export function idsOf(pid: number): Ids | undefined {
  const text = read(`/proc/${pid}/status`)
  if (text === undefined) return undefined
  const numbers = (name: string) => {
    const line = new RegExp(`^${name}:[ \\t]*([0-9 \\t]*)$`, 'm').exec(text)?.[1]
    return line === undefined
      ? []
      : line
          .split(/[ \t]+/)
          .filter((word) => word !== '')
          .map(Number)
  }
  const [uids, gids] = [numbers('Uid'), numbers('Gid')]
  const [uid, gid] = [uids[3], gids[3]]
  if (uid === undefined || gid === undefined) return undefined
  const isPlain = uids.every((each) => each === uid) && gids.every((each) => each === gid)
  return { uid, gid, groups: numbers('Groups'), isPlain }
}

/** These variables of the environment that the program was started with; the first of a name counts, as for getenv(3). */
export function environmentOf(pid: number, names: ReadonlySet<string>): Readonly<Record<string, string>> | undefined {
  const text = read(`/proc/${pid}/environ`)
  if (text === undefined || text.length > longestEnvironment) return undefined
  const found: Record<string, string> = {}
  for (const line of text.split('\0')) {
    const cut = line.indexOf('=')
    const name = line.slice(0, cut)
    if (cut > 0 && names.has(name) && found[name] === undefined) found[name] = line.slice(cut + 1)
  }
  return found
}

/** Whether a path means the same to the process as to us. */
export function seesOurFiles(pid: number): boolean {
  try {
    const isSame = readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync('/proc/self/ns/mnt')
    return isSame && readlinkSync(`/proc/${pid}/root`) === readlinkSync('/proc/self/root')
  } catch {
    // It has ended, or is not for us to look at.
    return false
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    // It has ended, or is not for us to look at.
    return undefined
  }
}
