/** Who may mount here, and by what: the kernel itself, fusermount3, or a namespace that has to be made first. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { delimiter, join } from 'node:path'
import { mountIsAllowed } from './libc.ts'

const administrator = 21n

/** CAP_SYS_ADMIN, which also root of a user namespace has in it (capabilities(7)). */
export function isAdministrator(): boolean {
  return has(administrator, 'CapEff')
}

function has(capability: bigint, set: 'CapEff' | 'CapBnd'): boolean {
  return ((BigInt(`0x${statusOf(set) ?? '0'}`) >> capability) & 1n) === 1n
}

/** mount(2) is allowed: the capability is one over this mount namespace, and not over the user namespace alone. */
export function mayMount(): boolean {
  return isAdministrator() && mountIsAllowed()
}

/**
 * Whether fusermount3 can help: it is there, its set-user-ID bit counts (not after PR_SET_NO_NEW_PRIVS, and not where root
 * is nobody), and the user has the name that it asks for.
 */
export async function mayAskFusermount(): Promise<boolean> {
  if (statusOf('NoNewPrivs') === '1') return false
  // A container without the capability has it for no program.
  if (!has(administrator, 'CapBnd')) return false
  try {
    userInfo()
  } catch {
    return false
  }
  for (const directory of (process.env.PATH ?? '').split(delimiter).filter((each) => each.startsWith('/'))) {
    const found = await stat(join(directory, 'fusermount3')).catch(() => undefined)
    if (found) return found.isFile() && found.uid === 0 && (found.mode & 0o4001) === 0o4001
  }
  return false
}

/** Newer ones first: who keeps his own number is in there who he is outside. */
const ordinary = [
  ['--user', '--map-current-user', '--keep-caps', '--mount'],
  ['--user', '--map-root-user', '--mount'],
] as const
const ofNamespace = [['--mount']] as const

/** What a command line has to begin with (unshare(1)) for mount(2) to be allowed; undefined where nothing helps. */
export async function namespaceWords(): Promise<readonly string[] | undefined> {
  for (const words of isAdministrator() ? ofNamespace : ordinary) {
    if (await succeeds('unshare', [...words, 'true'])) return ['unshare', ...words]
  }
  return undefined
}

async function succeeds(program: string, words: readonly string[]): Promise<boolean> {
  const child = spawn(program, words, { cwd: '/', stdio: 'ignore' })
  try {
    const [code] = await once(child, 'exit')
    return code === 0
  } catch {
    // There is no such program.
    return false
  }
}

function statusOf(name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(\\S+)$`, 'm').exec(readFileSync('/proc/self/status', 'latin1'))?.[1]
}
