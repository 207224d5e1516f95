/** Where a mount says what has happened to it: standard error, a file, or the system's log. */

import { appendFileSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import koffi from 'koffi'

/** One line each, with nothing secret in it. */
export type Log = (line: string) => void

/** `stderr`, `syslog`, or the absolute name of a file, which is opened anew for each line and may be rotated. */
export function logTo(place: string, name: string): Log {
  if (place === 'stderr') return (line) => void process.stderr.write(`portolan: ${plain(line)}\n`)
  if (place === 'syslog') return systemLog()
  return (line) => {
    try {
      mkdirSync(dirname(place), { recursive: true, mode: 0o700 })
      appendFileSync(place, `${new Date().toISOString()} portolan mount ${plain(name)}: ${plain(line)}\n`, {
        mode: 0o600,
      })
    } catch {
      // A full disk or a directory that is gone must not end the mount.
    }
  }
}

/** syslog(3), facility daemon, level notice. */
function systemLog(): Log {
  const libc = koffi.load('libc.so.6')
  const openlog = libc.func('void openlog(void *, int, int)')
  const syslog = libc.func('void syslog(int, const char *, ...)')
  // LOG_PID; the C library keeps the pointer, so the name must stay.
  openlog(identity, 1, 3 << 3)
  return (line) => syslog(5, '%s', 'str', plain(line))
}

const identity = Buffer.from('portolan-mount\0')

/** Names of files may hold what a terminal obeys. */
function plain(line: string): string {
  return line.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ')
}
