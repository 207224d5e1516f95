/** When nothing of a command runs any more: what was killed may outlive its parent a little. */

import { readdirSync, readFileSync } from 'node:fs'

/** ms. */
const pause = 100

/** Calls `then` when nobody of the process group runs any more; at once for a command that was never started. */
export function whenGone(group: number | undefined, then: () => void): void {
  if (group === undefined || isGone(group)) then()
  else setTimeout(() => whenGone(group, then), pause).unref()
}

function isGone(group: number): boolean {
  try {
    process.kill(-group, 0)
  } catch (error) {
    // EPERM: somebody is there, as another account.
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
  return !readdirSync('/proc').some((name) => /^\d+$/.test(name) && runsIn(name, group))
}

/** False for those who have ended and whom nobody collects. */
function runsIn(pid: string, group: number): boolean {
  try {
    // After the name in parentheses: state, parent, process group (proc_pid_stat(5)).
    const [state = '', , of] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return Number(of) === group && !'ZX'.includes(state)
  } catch {
    // It has ended meanwhile.
    return false
  }
}
