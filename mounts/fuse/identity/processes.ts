/**
 * An identity for each process that uses the mount: that of the token in its environment (WLCG Bearer Token Discovery, 1.0),
 * otherwise of its user's Kerberos tickets, as eosxd does. One session with the gateway for each credential of each user; what one sees is never shown to
 * another.
 */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { StorageError } from '../../../gateway/core/errors.ts'
import { type ChoiceOptions, sourceFrom } from '../../client/credentials/choose.ts'
import type { CredentialSource } from '../../client/credentials/source.ts'
import { type TokenSource, source as tokenOf } from '../../client/token.ts'
import { Errno } from '../errno.ts'
import type { Making, ManyIdentities, OneIdentity } from '../file-system.ts'
import type { Context } from '../operations.ts'
import type { View } from '../view.ts'
import type { Done, Job, Looked } from './jobs.ts'
import { type Ids, stampOf } from './proc.ts'
import { Threads } from './threads.ts'
import { cacheOf, UserTickets } from './tickets.ts'

export interface ProcessIdentitiesOptions {
  /** Scheme, host and port of the gateway. */
  readonly origin: URL
  /** Where the mount is, if that is known: a credential in it would be waited for by itself. */
  readonly mountpoint?: string | undefined
  /** Begins a session. What it makes closes the credential. */
  readonly connect: (credential: CredentialSource) => Promise<OneIdentity>
  readonly log: (line: string) => void
  /** Does jobs; threads of its own by default. */
  readonly threads?: { run(job: Job, uid: number): Promise<Done>; close(): Promise<void> }
  /** Milliseconds of a clock that is not set. */
  readonly now: () => number
  /** Milliseconds between two looks at what is idle. */
  readonly sweep?: number
}

const mostSessions = 256
/** Of one user, so that nobody is in the way of others. */
const mostOfUser = 32
const mostCallers = 4096
/** Milliseconds after which a session that nobody uses ends. */
const idleFor = 300_000
/** Milliseconds between two looks at sessions that nobody may use any more. */
const usualSweep = 60_000
/** Milliseconds until a process that had no credential is looked at again. */
const refusedFor = 1000

/** A session with the gateway. */
interface Account {
  readonly uid: number
  readonly view: Promise<View>
  ready: View | undefined
  used: number
}

/** A process that was looked at. */
interface Caller {
  readonly stamp: string
  readonly uid: number
  readonly view: Promise<View>
  /** Once it is there. */
  ready: { readonly view: View; readonly account: Account; readonly key: string } | undefined
  /** It has no identity, until then. */
  refusedUntil: number
}

/** Where a process has its credential. `key` tells credentials of all users apart. */
interface Found {
  readonly mine: { readonly uid: number; readonly gid: number }
  readonly key: string
  readonly credential: CredentialSource
}

export class ProcessIdentities implements ManyIdentities {
  readonly #options: ProcessIdentitiesOptions
  readonly #threads: NonNullable<ProcessIdentitiesOptions['threads']>
  readonly #accounts = new Map<string, Account>()
  readonly #callers = new Map<number, Caller>()
  readonly #sweeper: NodeJS.Timeout
  readonly #tickets = new UserTickets()
  #making: Making | undefined

  constructor(options: ProcessIdentitiesOptions) {
    this.#options = options
    this.#threads = options.threads ?? new Threads()
    this.#sweeper = setInterval(() => this.#endIdle(), options.sweep ?? usualSweep)
    this.#sweeper.unref()
  }

  /** EACCES for a process without a credential, and for this one, which must not use its own mount. */
  viewOf(context: Context, making: Making): View | Promise<View> {
    const { pid, uid } = context
    const { now } = this.#options
    const stamp = pid === 0 || isOurs(pid) || this.#tickets.isOurs(pid) ? undefined : stampOf(pid)
    if (stamp === undefined) throw new Errno('EACCES')
    const known = this.#callers.get(pid)
    if (known && known.stamp === stamp && known.uid === uid) {
      const { ready } = known
      if (!ready && known.refusedUntil > now()) return known.view
      if (ready && this.#accounts.get(ready.key) === ready.account) {
        ready.account.used = now()
        return ready.view
      }
    }
    return this.#look(pid, uid, stamp, making).view
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    this.#tickets.close()
    const accounts = [...this.#accounts.values()]
    this.#accounts.clear()
    this.#callers.clear()
    await Promise.all(accounts.map((account) => end(account)))
    await this.#threads.close()
  }

  #look(pid: number, uid: number, stamp: string, making: Making): Caller {
    const resolved = this.#resolve(pid, uid, stamp, making)
    const view = resolved.then((ready) => ready.view)
    const caller: Caller = { stamp, uid, view, ready: undefined, refusedUntil: Number.POSITIVE_INFINITY }
    resolved.then(
      (ready) => {
        caller.ready = ready
      },
      () => {
        caller.refusedUntil = this.#options.now() + refusedFor
      },
    )
    this.#callers.delete(pid)
    this.#callers.set(pid, caller)
    const [oldest] = this.#callers.keys()
    if (this.#callers.size > mostCallers && oldest !== undefined) this.#callers.delete(oldest)
    return caller
  }

  async #resolve(pid: number, uid: number, stamp: string, making: Making) {
    const { key, credential, mine } = await this.#foundIn(pid, uid, stamp)
    const known = this.#accounts.get(key)
    if (known) await credential.close()
    const account = known ?? this.#begin({ key, credential, mine }, making)
    account.used = this.#options.now()
    return { view: await account.view, account, key }
  }

  /** Whatever is the matter with a credential, it is no other error of the file that was asked for. */
  async #foundIn(pid: number, uid: number, stamp: string): Promise<Found> {
    try {
      return await this.#find((await this.#threads.run({ kind: 'look', pid, uid, stamp }, uid)) as Looked)
    } catch (error) {
      const { code, message } = StorageError.from(error)
      if (code === 'busy' || code === 'timeout' || code === 'cancelled' || code === 'internal') throw error
      throw new StorageError('unauthenticated', message, { cause: error })
    }
  }

  #begin({ key, credential, mine }: Found, making: Making): Account {
    this.#makeRoom(mine.uid, making)
    const { connect, now } = this.#options
    const connecting = connect(credential).catch(async (error: unknown) => {
      await credential.close()
      throw error
    })
    const account: Account = {
      uid: mine.uid,
      view: connecting.then((identity) => making.viewFor({ ...identity, mine })),
      ready: undefined,
      used: now(),
    }
    this.#accounts.set(key, account)
    account.view.then(
      (view) => {
        account.ready = view
      },
      () => {
        if (this.#accounts.get(key) === account) this.#accounts.delete(key)
      },
    )
    return account
  }

  /** Ends sessions that nobody has used for long. What they remember of what they saw goes with them. */
  #endIdle(): void {
    const old = this.#options.now() - idleFor
    for (const [key, account] of this.#accounts) if (account.used < old) this.#endUnused(key, account)
    // A process that comes again is looked at again.
    for (const [pid, { ready }] of this.#callers) {
      if (ready && this.#accounts.get(ready.key) !== ready.account) this.#callers.delete(pid)
    }
  }

  /** Room for one more: the user's own session that was not used for the longest time ends first. EAGAIN where none can. */
  #makeRoom(uid: number, making: Making): void {
    this.#making = making
    this.#endIdle()
    const byAge = [...this.#accounts].toSorted(([, one], [, other]) => one.used - other.used)
    const theirs = byAge.filter(([, account]) => account.uid === uid)
    const tooMany = theirs.length >= mostOfUser
    if (!tooMany && byAge.length < mostSessions) return
    if ((tooMany ? theirs : byAge).some(([key, account]) => this.#endUnused(key, account))) return
    throw new Errno('EAGAIN')
  }

  /** False where it is used, or has yet to begin. */
  #endUnused(key: string, account: Account): boolean {
    if (!account.ready || this.#making?.isUsed(account.ready) !== false) return false
    this.#accounts.delete(key)
    end(account).catch(() => {})
    return true
  }

  /** The first of: BEARER_TOKEN, the file that BEARER_TOKEN_FILE names, the usual places. */
  async #find({ env, ids, seesOurFiles }: Looked): Promise<Found> {
    const { origin, log } = this.#options
    const { BEARER_TOKEN: given, BEARER_TOKEN_FILE: named, XDG_RUNTIME_DIR: runtime } = env
    const isGiven = given !== undefined && given.trim() !== ''
    const file = isGiven || named === undefined || named === '' ? undefined : named
    const isReadable = seesOurFiles && (file === undefined || (isAbsolute(file) && !this.#isBelow(file)))
    if (!isGiven && !isReadable) {
      throw new StorageError(
        'unauthenticated',
        'a token file counts where the process sees our files, by a whole path outside of the mount',
      )
    }
    const readFile = async (path: string) => {
      const found = await this.#read(path, ids, true)
      if (!found) throw new StorageError('not-found', `the token file ${path} does not exist`)
      return found
    }
    const inPlaces = async () => {
      if (isGiven) return tokenOf(given, 'the variable BEARER_TOKEN')
      const places = [
        ...(runtime && isAbsolute(runtime) ? [join(runtime, `bt_u${ids.uid}`)] : []),
        `/tmp/bt_u${ids.uid}`,
      ]
      for (const place of places) {
        const found = await this.#read(place, ids, false)
        if (found) return found
      }
      return undefined
    }
    // Before anything is begun: a process without a credential gets no session.
    const first = file === undefined ? await inPlaces() : await readFile(file)
    if (!first) return this.#byTicket(ids, env, { file: readFile, discover: inPlaces })
    const what = isGiven ? `token ${given}` : file === undefined ? `places ${runtime ?? ''}` : `file ${file}`
    const key = createHash('sha256').update(`${ids.uid} ${what}`).digest('base64')
    const readers = { file: readFile, discover: inPlaces }
    const mine = { uid: ids.uid, gid: ids.gid }
    return { mine, key, credential: neverNone(sourceFrom({ origin, around: { env, uid: ids.uid }, readers, log })) }
  }

  /** Without a token: by the tickets that its user has. */
  #byTicket(ids: Ids, env: Looked['env'], readers: NonNullable<ChoiceOptions['readers']>): Found {
    const { origin, log } = this.#options
    const cache = cacheOf(env.KRB5CCNAME, ids)
    if (cache === undefined) throw new StorageError('unauthenticated', 'the process has no credential')
    const key = createHash('sha256')
      .update(`${ids.uid} tickets ${env.XDG_RUNTIME_DIR ?? ''} ${cache}`)
      .digest('base64')
    const found = sourceFrom({ origin, around: { env, uid: ids.uid }, readers, tickets: 'required', log })
    const ticketLibrary = this.#tickets.libraryFor(ids, cache)
    return { mine: { uid: ids.uid, gid: ids.gid }, key, credential: { ...found, ticketLibrary } }
  }

  /** Links that lead there are found out by waiting (threads.ts). */
  #isBelow(file: string): boolean {
    const { mountpoint } = this.#options
    return mountpoint !== undefined && `${resolve(file)}/`.startsWith(`${resolve(mountpoint)}/`)
  }

  async #read(file: string, ids: Ids, mayBeLink: boolean): Promise<TokenSource | undefined> {
    const done = await this.#threads.run({ kind: 'read', file, ids, mayBeLink }, ids.uid)
    if (!('text' in done) || done.text === undefined) return undefined
    return tokenOf(done.text, `the file ${file}`)
  }
}

/** Where the token has gone the process has no identity; it does not become anybody. */
function neverNone(source: CredentialSource): CredentialSource {
  return {
    async current() {
      const token = await source.current()
      if (token === undefined) throw new StorageError('unauthenticated', `no token in ${source.describe()} any more`)
      return token
    },
    refused: (token) => source.refused(token),
    describe: () => source.describe(),
    close: () => source.close(),
  }
}

/** A thread of this process: its look would wait for itself. */
function isOurs(pid: number): boolean {
  return pid === process.pid || existsSync(`/proc/self/task/${pid}`)
}

async function end({ view }: Account): Promise<void> {
  try {
    await (await view).close()
  } catch {
    // It never began.
  }
}
