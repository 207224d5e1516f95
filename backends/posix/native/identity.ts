/**
 * The file-system identity of one thread: fsuid, fsgid and supplementary groups, switched by raw system
 * calls, since the C library's wrappers of setgroups act on all threads of the process.
 *
 * Only synchronous calls are made under a switched identity: an asynchronous one would run on another
 * thread, as the gateway.
 */

import type { PosixIds } from '../../../acl/principal.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { capabilitySet, getCapabilities, setCapabilities } from './capabilities.ts'
import { callNumbers, capabilities, O_RDONLY } from './constants.ts'
import { isErrno } from './errno.ts'
import { fail, libc } from './library.ts'
import { close, openat } from './open.ts'
import { fchmod, procPath } from './sys.ts'

/** Callers without a credential. */
export const nobody: PosixIds = { uid: 65534, gid: 65534, gids: [] }

/** The kernel's limit (NGROUPS_MAX). */
const mostGroups = 65536
/** Passed to setfsuid and setfsgid to read without changing: no valid id. */
const noId = 0xffff_ffff
/** From here on, an id that a system call answers would look like an error. */
const firstUnusableId = 0xffff_f000

const call = libc.func('long syscall(long, unsigned long, const void *)')
const memfdCreate = libc.func('int memfd_create(const char *, unsigned int)')
const MFD_CLOEXEC = 1

/** The thread's identity is not what it should be. The thread must do nothing more and end. */
export class IdentityFault extends Error {}

/** What may act: the mapped account of a caller, checked; or the gateway's own account. */
export type Identity = PosixIds | 'gateway'

/**
 * Throws `denied` for ids that no mapping may lead to, whatever the account source said: the superuser,
 * the group of the superuser, uids below `minUid`, and `own`, the uid of the gateway itself.
 */
export function checkIds(ids: PosixIds, minUid: number, own?: number): void {
  const refuse = (text: string): never => {
    throw new StorageError('denied', 'this account may not act here', { reason: { rule: 'posix-ids', text } })
  }
  if (!isId(ids.uid) || !isId(ids.gid) || !ids.gids.every(isId)) refuse('an id is not a number in the usable range')
  if (ids.uid === 0 || ids.gid === 0 || ids.gids.includes(0)) refuse('uid 0 and group 0 are never used')
  if (ids.uid < minUid) refuse(`uid ${ids.uid} is below the configured minimum ${minUid}`)
  if (ids.uid === own) refuse(`uid ${ids.uid} is the gateway's own`)
  if (ids.gids.length > mostGroups) refuse('the account has too many groups')
}

/** Switches the calling thread. One for each thread, made before anything else has switched it. */
export class IdentitySwitch {
  readonly #minUid: number
  readonly #own: PosixIds
  #current: PosixIds

  /** Gives up every capability of the calling thread but CAP_SETUID and CAP_SETGID; IdentityFault when it lacks these. */
  constructor(minUid: number) {
    this.#minUid = Math.max(1, minUid)
    keepOnlySwitching()
    this.#own = { uid: readId('setfsuid'), gid: readId('setfsgid'), gids: readGroups() }
    this.#current = this.#own
  }

  /**
   * Makes the thread act as `identity`. Throws `denied` for ids that are not allowed, before anything changed,
   * and IdentityFault when the kernel did not do as told.
   */
  become(identity: Identity): void {
    // First, since the ids asked for may be the gateway's own, which the thread may have right now.
    if (identity !== 'gateway') checkIds(identity, this.#minUid, this.#own.uid)
    this.#switch(identity === 'gateway' ? this.#own : identity)
  }

  /**
   * Proves that the switch bites: a file of mode 0600 of the gateway's account must give EACCES to another.
   * Throws IdentityFault otherwise. Leaves the thread as the gateway.
   */
  selfTest(): void {
    this.become('gateway')
    const other = this.#own.uid === nobody.uid ? nobody.uid - 1 : nobody.uid
    const probe: number = memfdCreate('portolan-identity-probe', MFD_CLOEXEC)
    if (probe < 0) fail('memfd_create')
    try {
      fchmod(probe, 0o600)
      this.#switch({ uid: other, gid: nobody.gid, gids: [] })
      if (!isRefused(probe)) throw new IdentityFault("a switched thread could open another account's file")
      const { effective } = getCapabilities()
      if (effective & ~switching) throw new IdentityFault('a switched thread holds more than CAP_SETUID and CAP_SETGID')
      // What everybody may open must open, or the refusal above had another cause than the file's mode.
      this.become('gateway')
      fchmod(probe, 0o666)
      this.#switch({ uid: other, gid: nobody.gid, gids: [] })
      if (isRefused(probe)) throw new IdentityFault('a switched thread is refused what everybody may open')
    } finally {
      close(probe)
      this.become('gateway')
    }
  }

  #switch(to: PosixIds): void {
    if (same(to, this.#current)) return
    const groups = Uint32Array.from(new Set(to.gids)).sort()
    if (callNumbers === undefined) throw new IdentityFault(`switching is not supported on ${process.arch}`)
    if (call(callNumbers.setgroups, groups.length, groups) < 0) throw new IdentityFault('setgroups failed')
    call(callNumbers.setfsgid, to.gid, null)
    call(callNumbers.setfsuid, to.uid, null)
    // setfsuid and setfsgid do not tell whether they worked (setfsuid(2)).
    if (readId('setfsuid') !== to.uid) throw new IdentityFault('setfsuid failed')
    if (readId('setfsgid') !== to.gid) throw new IdentityFault('setfsgid failed')
    if (!equal(readGroups(), groups)) throw new IdentityFault('setgroups did not take')
    this.#current = { uid: to.uid, gid: to.gid, gids: [...to.gids] }
  }
}

const switching = capabilitySet(capabilities.CAP_SETUID, capabilities.CAP_SETGID)

function keepOnlySwitching(): void {
  if ((getCapabilities().permitted & switching) !== switching) {
    throw new IdentityFault('the process lacks CAP_SETUID or CAP_SETGID')
  }
  setCapabilities({ effective: switching, permitted: switching, inheritable: 0n })
}

function isRefused(fd: number): boolean {
  try {
    close(openat(-1, procPath(fd), O_RDONLY, 0))
    return false
  } catch (error) {
    if (isErrno(error, 'EACCES')) return true
    throw error
  }
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < firstUnusableId
}

function same(a: PosixIds, b: PosixIds): boolean {
  return a === b || (a.uid === b.uid && a.gid === b.gid && equal(a.gids, b.gids))
}

function equal(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false
  return true
}

function readId(name: 'setfsuid' | 'setfsgid'): number {
  if (callNumbers === undefined) throw new IdentityFault(`switching is not supported on ${process.arch}`)
  return call(callNumbers[name], noId, null)
}

/** In the kernel's order, which is ascending. */
function readGroups(): number[] {
  if (callNumbers === undefined) throw new IdentityFault(`switching is not supported on ${process.arch}`)
  const count: number = call(callNumbers.getgroups, 0, null)
  if (count < 0) fail('getgroups')
  const groups = new Uint32Array(count)
  if (count > 0 && call(callNumbers.getgroups, count, groups) !== count) fail('getgroups')
  return [...groups]
}
