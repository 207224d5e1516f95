/** A file system that can be told to hang, for real, or to be short of quota: a FUSE mount with a server of ours. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { detachMount } from '../../backends/posix/native/process.ts'
import type { Shortage } from './fuse-tree.ts'

/** Why there can be none here, or false. For `skip`. */
export function noFuse(): string | false {
  if (process.getuid?.() !== 0) return 'needs root to mount a FUSE file system'
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
    return false
  } catch {
    return 'needs /dev/fuse'
  }
}

export interface HangingFuse {
  /** Holds `small.txt` ("hello\n") and `large.bin` (4 MiB) of root, mode 0644, in a directory of mode 0777. Nothing is cached. */
  readonly mountpoint: string
  /**
   * From now on nothing is answered. The server is stopped, so that calls can be ended by SIGKILL; with
   * `withhold` it takes the requests and keeps them, and a process in such a call cannot be ended at all.
   */
  hang(options?: { readonly withhold: boolean }): Promise<void>
  /** Answers what has waited, and all that comes. */
  recover(): void
  /** From now on it is short of this, and of nothing that was said before. */
  shorten(shortage: Shortage): Promise<void>
  /** Calls under way fail with ENOTCONN; the mount is gone. */
  stop(): Promise<void>
}

/** Mounts one at `directory`/hanging. `stop` must be called. */
export async function startHangingFuse(directory: string): Promise<HangingFuse> {
  const mountpoint = join(directory, 'hanging')
  mkdirSync(mountpoint, { recursive: true })
  const server = fork(join(import.meta.dirname, 'hanging-fuse-server.ts'), [mountpoint], { execArgv: [] })
  const [message] = await Promise.race([once(server, 'message'), once(server, 'exit')])
  if (message !== 'mounted') throw new Error('the FUSE server did not start')
  let stopped = false
  return {
    mountpoint,
    async hang(options) {
      if (options?.withhold) {
        const withholding = once(server, 'message')
        server.send('withhold')
        await withholding
      } else {
        server.kill('SIGSTOP')
        while (!isStopped(server.pid)) await setImmediate()
      }
    },
    recover() {
      server.kill('SIGCONT')
      server.send('answer')
    },
    async shorten(shortage) {
      const shortened = once(server, 'message')
      server.send(shortage)
      await shortened
    },
    async stop() {
      if (stopped) return
      stopped = true
      const ended = once(server, 'exit')
      // With its server the kernel ends the connection and every call that waits for it.
      server.kill('SIGKILL')
      await ended
      detachMount(mountpoint)
    },
  }
}

/** The signal takes a moment to stop all threads of the server. */
function isStopped(pid: number | undefined): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}
