/** What this process is called by those whose sessions it keeps, and whether the bearer of such a name is gone. */

import { createHmac } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import type { ProcessNames } from '../api/fs/sessions.ts'

/**
 * Names that processes with the same key can tell from others: two bytes for the machine (or container) and its start,
 * three for the number of the process, four that prove it and when it began. Undefined where the kernel does not tell.
 */
export function processNames(key: Uint8Array): ProcessNames | undefined {
  const mac = (...texts: readonly string[]) => createHmac('sha256', key).update(texts.join('\n')).digest()
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1')
    const place = mac('place of a process', boot, readlinkSync('/proc/self/ns/pid')).subarray(0, 2)
    const nameOf = (pid: number): string => {
      const number = Buffer.alloc(3)
      number.writeUIntBE(pid, 0, 3)
      const proof = mac('name of a process', place.toString('hex'), String(pid), beginningOf(pid)).subarray(0, 4)
      return Buffer.concat([place, number, proof]).toString('base64url')
    }
    return {
      own: nameOf(process.pid),
      isGone(name) {
        const bytes = Buffer.from(name, 'base64url')
        if (bytes.length !== 9 || !bytes.subarray(0, 2).equals(place)) return false
        try {
          return nameOf(bytes.readUIntBE(2, 3)) !== name
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException
          return code === 'ENOENT' || code === 'ESRCH'
        }
      },
    }
  } catch {
    // No Linux, or nothing of it is shown here.
    return undefined
  }
}

/** When a process began, in ticks (proc_pid_stat(5), field 22). Throws ENOENT where there is none. */
function beginningOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The second field is a name, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // A process that nobody has waited for is no process any more.
  if (fields[0] === 'Z' || fields[0] === 'X') throw Object.assign(new Error('it has ended'), { code: 'ENOENT' })
  return fields[19] ?? ''
}
