/**
 * The file-system identity of the calling thread (setfsuid(2), credentials(7)). Raw system calls for the groups, since the
 * C library's would change all threads. Only synchronous calls are made under another identity: others run elsewhere.
 */

import koffi from 'koffi'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Ids } from './proc.ts'

/** setgroups, which is the one that has no wrapper for one thread. */
const setgroupsNumber: Readonly<Record<string, number>> = { x64: 116, arm64: 159 }
/** No valid id: asks without changing. */
const noId = 0xffff_ffff

interface Calls {
  setfsuid(uid: number): number
  setfsgid(gid: number): number
  setgroups(groups: readonly number[]): boolean
}

function load(): Calls | undefined {
  const number = setgroupsNumber[process.arch]
  if (number === undefined) return undefined
  const libc = koffi.load('libc.so.6')
  const setfsuid = libc.func('int setfsuid(unsigned int)')
  const setfsgid = libc.func('int setfsgid(unsigned int)')
  const syscall = libc.func('long syscall(long, size_t, void *)')
  return {
    setfsuid: (uid) => setfsuid(uid) >>> 0,
    setfsgid: (gid) => setfsgid(gid) >>> 0,
    setgroups: (groups) => syscall(number, groups.length, new Uint32Array(groups.length === 0 ? [0] : groups)) === 0,
  }
}

let calls: Calls | undefined

/**
 * Does something synchronous as somebody else; at once where that is who we are. Throws `denied` where the kernel did not
 * let us, before anything was done. A thread that cannot become itself again ends the process: it must do nothing more.
 */
export function actingAs<T>(ids: Ids, act: () => T): T {
  const own = {
    uid: process.geteuid?.() ?? noId,
    gid: process.getegid?.() ?? noId,
    groups: process.getgroups?.() ?? [],
  }
  if (ids.uid === own.uid) return act()
  calls ??= load()
  if (!calls || own.uid !== 0) throw new StorageError('denied', 'only the superuser reads files as somebody else')
  try {
    become(calls, ids)
    return act()
  } finally {
    comeBack(calls, own)
  }
}

/** The uid last: with it the thread loses its power over files, not that over ids. */
function become({ setgroups, setfsgid, setfsuid }: Calls, { uid, gid, groups }: Ids): void {
  const refuse = () => new StorageError('denied', 'the identity of a process could not be taken on')
  if (!setgroups(groups)) throw refuse()
  setfsgid(gid)
  if (setfsgid(noId) !== gid) throw refuse()
  setfsuid(uid)
  if (setfsuid(noId) !== uid) throw refuse()
}

function comeBack({ setgroups, setfsgid, setfsuid }: Calls, own: Omit<Ids, 'isPlain'>): void {
  setfsuid(own.uid)
  setfsgid(own.gid)
  if (setgroups(own.groups) && setfsuid(noId) === own.uid && setfsgid(noId) === own.gid) return
  process.abort()
}
