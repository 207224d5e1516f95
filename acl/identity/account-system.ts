/** Accounts of the system's name service (files, LDAP, SSSD), asked through getent(1) and kept for a while. */

import { execFile } from 'node:child_process'
import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Account, AccountSource } from './accounts.ts'
import { createGate, type Gate } from './gate.ts'
import { accountDeadline, accountLifetime, accountNegativeLifetime } from './limits.ts'
import { accountName, groupName } from './names.ts'

export interface SystemAccountSettings {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Default /usr/bin/getent. */
  readonly getent?: string
  /** Milliseconds for one run (default 5,000). */
  readonly deadline?: number
}

interface Known<T> {
  readonly value: T | undefined
  /** Milliseconds since 1970. */
  readonly until: number
}

/** Throws `unavailable` when the name service does not answer; answers of both kinds are cached, failures are not. */
export function createSystemAccounts(settings: SystemAccountSettings): AccountSource {
  const ask = asker(settings)
  return {
    find: remember(settings.now, (name) => lookUp(name, ask)),
    findGroup: remember(settings.now, async (name) => {
      if (!groupName.test(name)) return undefined
      const [line] = await ask('group', [name])
      const group = line === undefined ? undefined : readGroup(line)
      return group?.name === name ? { gid: group.gid } : undefined
    }),
  }
}

/** A bounded cache in front of `find`; callers that ask for one name at once share one look-up. */
function remember<T extends object>(
  now: () => number,
  find: (name: string) => Promise<T | undefined>,
): (name: string) => Promise<T | undefined> {
  const cache = new LRUCache<string, Known<T>>({ max: 10_000 })
  const pending = new Map<string, Promise<T | undefined>>()
  const load = async (name: string): Promise<T | undefined> => {
    try {
      const value = await find(name)
      const lifetime = value === undefined ? accountNegativeLifetime : accountLifetime
      cache.set(name, { value, until: now() + lifetime * 1000 })
      return value
    } finally {
      pending.delete(name)
    }
  }
  return async (name) => {
    const known = cache.get(name)
    if (known !== undefined && now() < known.until) return known.value
    const running = pending.get(name)
    if (running !== undefined) return running
    const started = load(name)
    pending.set(name, started)
    return started
  }
}

async function lookUp(name: string, ask: Ask): Promise<Account | undefined> {
  // The grammar is what keeps a name from being an option or a number (getent looks numbers up as uids).
  if (!accountName.test(name)) return undefined
  const [line] = await ask('passwd', [name])
  if (line === undefined) return undefined
  const [stored, , uidText, gidText] = line.split(':')
  const uid = readId(uidText)
  const gid = readId(gidText)
  // A directory that ignores case answers for Alice too; the ACL would know only one of them.
  if (stored !== name || uid === undefined || gid === undefined) return undefined
  const [membership] = await ask('initgroups', [name])
  const gids = new Set<number>()
  for (const word of (membership ?? '').split(/\s+/).slice(1)) {
    const id = readId(word)
    if (id !== undefined) gids.add(id)
  }
  const groups = await namesOf([...new Set([gid, ...gids])], ask)
  return { name, ids: { uid, gid, gids: [...gids] }, groups }
}

/** Names of groups by gid; a group without a usable name is known by its number alone. */
async function namesOf(gids: readonly number[], ask: Ask): Promise<readonly string[]> {
  const names: string[] = []
  for (let at = 0; at < gids.length; at += 200) {
    const lines = await ask('group', gids.slice(at, at + 200).map(String))
    for (const line of lines) {
      const group = readGroup(line)
      if (group !== undefined) names.push(group.name)
    }
  }
  return names
}

function readGroup(line: string): { readonly name: string; readonly gid: number } | undefined {
  const [name = '', , gidText] = line.split(':')
  const gid = readId(gidText)
  const isUsable = name !== '' && name.length <= 255 && !/[@\p{Cc}]/u.test(name) && !/^\d+$/.test(name)
  return gid === undefined || !isUsable ? undefined : { name, gid }
}

function readId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined
  const id = Number(text)
  return id <= 4_294_967_295 ? id : undefined
}

type Ask = (database: 'passwd' | 'group' | 'initgroups', keys: readonly string[]) => Promise<readonly string[]>

function asker(settings: SystemAccountSettings): Ask {
  const gate: Gate = createGate({ running: 8, waiting: 1000 })
  const program = settings.getent ?? '/usr/bin/getent'
  const timeout = settings.deadline ?? accountDeadline * 1000
  const run = (args: readonly string[]): Promise<readonly string[]> =>
    new Promise((resolve, reject) => {
      const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C' }
      const limits = { timeout, killSignal: 'SIGKILL', maxBuffer: 8 * 1024 * 1024, env } as const
      execFile(program, args, limits, (error, stdout) => {
        // Status 2: some of the keys are not there; what is there was printed.
        if (error === null || error.code === 2) resolve(stdout.split('\n').filter((line) => line !== ''))
        else reject(new StorageError('unavailable', 'accounts cannot be looked up', { retryAfter: 5, cause: error }))
      })
    })
  return (database, keys) => gate(() => run([database, ...keys]))
}
