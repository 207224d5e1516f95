/**
 * A tiny process that takes a mount away when its program is killed. (`auto_unmount` of fusermount3 is to do the same; that
 * of libfuse 3.14 was seen to leave mounts behind.)
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { escaped } from './mountinfo.ts'

/**
 * When its input ends, the program is dead. So it is at SIGUSR1, even where a thread of it keeps all of its files open: the
 * kernel may hold one that was telling it of a change, until those are answered who hold the directory; it comes once for each
 * thread that ends. For them the connection is aborted, which ends whatever waits for it. Only the mount of this device is
 * taken away, and only where it is what is seen at the directory: umount(8) follows whatever is in its place by then.
 */
const script = `trap '' HUP INT QUIT TERM
wanted=$1
directory=$2
shift 2
away() {
  trap '' USR1
  seen=
  while read -r id parent device root point rest; do
    if [ "$point" = "$directory" ]; then seen=$device; fi
  done < /proc/self/mountinfo
  [ "$seen" = "$wanted" ] || exit 0
  { echo 1 > "/sys/fs/fuse/connections/\${wanted#*:}/abort"; } 2> /dev/null
  exec "$@"
}
trap 'away "$@"' USR1
read -r word
away "$@"`

/** setpriv(1), where it is there, has the kernel send the signal when the thread ends that has started it. */
const atDeath = ['setpriv', '--pdeathsig', 'USR1']

export interface Guard {
  /** The mount is gone in an orderly way. */
  dismiss(): void
}

/**
 * `command` takes away what is mounted at the directory; `device` is what mountinfo.ts tells of it. Undefined where there is no shell, as in some
 * containers; their mounts go with them.
 */
export async function startGuard(
  { device, directory }: { readonly device: string; readonly directory: string },
  command: readonly string[],
): Promise<Guard | undefined> {
  const words = ['/bin/sh', '-c', script, 'sh', device, escaped(directory), ...command]
  const child = (await started([...atDeath, ...words])) ?? (await started(words))
  if (!child) return undefined
  child.on('error', () => undefined)
  child.stdin.on('error', () => undefined)
  child.unref()
  if ('unref' in child.stdin && typeof child.stdin.unref === 'function') child.stdin.unref()
  // A word would not do: it could be read after the signal, when another mount may have the number and the directory.
  return { dismiss: () => void child.kill('SIGKILL') }
}

/** Undefined where there is no such program. */
async function started([program = '', ...words]: readonly string[]) {
  const child = spawn(program, words, {
    cwd: '/',
    detached: true,
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  return once(child, 'spawn').then(
    () => child,
    () => undefined,
  )
}
