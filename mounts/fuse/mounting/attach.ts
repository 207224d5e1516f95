/** How a file system gets into the tree: mount(2) where that is allowed, fusermount3, or a descriptor that was handed over. */

import { close, closeSync, constants, fstatSync, openSync, readlinkSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { StorageError } from '../../../gateway/core/errors.ts'
import { hasDied } from './died.ts'
import { fusermount, fusermountDetach, fusermountEnd } from './fusermount.ts'
import { startGuard } from './guard.ts'
import { detach, isConnected, mount, mountFlag, unmount } from './libc.ts'
import { mountedAt, mountType, placeOf } from './mountinfo.ts'
import { checkPlace, type Place } from './place.ts'
import { isAdministrator, mayMount } from './privilege.ts'

export interface AttachOptions {
  /** A directory, or `/dev/fd/N`: mounted already, by mount.fuse3(8) or the like. */
  readonly directory: string
  /** What `mount` and `df` show as the source. */
  readonly source: string
  readonly readOnly: boolean
  readonly allowOther: boolean
  /** Whom the kernel lets in, if not who mounts; for mount(2) only. */
  readonly account?: Account
}

export interface Account {
  readonly uid: number
  readonly gid: number
}

export interface Attached {
  /** Of /dev/fuse. */
  readonly fd: number
  readonly way: 'mount(2)' | 'fusermount3' | 'descriptor'
  /** Undefined where it is not known: the descriptor was handed over. */
  readonly directory: string | undefined
  /** Takes it out of the tree; `lazy` also while something in it is in use. Throws `busy`, `not-found` once it is gone. */
  detach(lazy: boolean): Promise<void>
  /** The descriptor is closed: what is left in the tree, and answers nobody, is taken away. Never rejects. */
  end(): Promise<void>
}

/** N of `/dev/fd/N`; undefined for a directory. */
export function passedDescriptor(directory: string): number | undefined {
  const digits = /^\/dev\/fd\/(\d{1,7})$/.exec(directory)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** Throws `invalid` for what can be known to fail before anything is done. */
export async function checkAttach(directory: string): Promise<void> {
  if (passedDescriptor(directory) !== undefined) return
  await checkPlace(directory, { uid: process.geteuid?.() ?? 0 })
  if (mayMount()) close(openDevice(), () => undefined)
  else requireProgram()
}

/** Throws `invalid` with one line that says what to do; nothing is mounted then. */
export async function attach(options: AttachOptions): Promise<Attached> {
  const fd = passedDescriptor(options.directory)
  if (fd !== undefined) return { fd, way: 'descriptor', directory: undefined, ...untouched }
  const place = await checkPlace(options.directory, { uid: process.geteuid?.() ?? 0 })
  if (mayMount()) return attachBySyscall(options, place)
  requireProgram()
  return attachByProgram(options, place)
}

/** Root of a user namespace is nobody to fusermount3, which opens the device as the user. */
function requireProgram(): void {
  if (isAdministrator()) throw new StorageError('invalid', notHere)
  close(openDevice(), () => undefined)
}

const notHere =
  'mounting is not allowed here, for want of a mount namespace: portolan mount URL DIRECTORY -- COMMAND makes one for COMMAND (unshare -Urm one for a shell)'

const untouched = {
  detach: () => Promise.reject(new StorageError('unsupported', 'who has mounted it has to unmount it')),
  end: () => Promise.resolve(),
}

async function attachBySyscall(options: AttachOptions, place: Place): Promise<Attached> {
  const { source, readOnly, allowOther } = options
  const { uid, gid } = options.account ?? { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
  const fd = openDevice()
  const type = (place.mode & 0o170000).toString(8)
  const data = `fd=${fd},rootmode=${type},user_id=${uid},group_id=${gid}${allowOther ? ',allow_other' : ''}`
  const flags = mountFlag.noSuid | mountFlag.noDevices | (readOnly ? mountFlag.readOnly : 0)
  try {
    onDirectory(place, (directory) => mount(source, directory, mountType, flags, data))
  } catch (error) {
    close(fd, () => undefined)
    throw refusal(error)
  }
  const { directory } = place
  const take = (from: string, lazy: boolean) => unmount(from, lazy ? detach : 0).catch(busy)
  return { fd, way: 'mount(2)', directory, ...(await kept({ fd, directory, take }, ['umount', '-f', '-l', directory])) }
}

/**
 * Mounts on what was looked at, and not on what somebody has put in its place since: the directory may be in one of another
 * user, who may rename it and make a symbolic link.
 */
function onDirectory({ directory, id }: Place, mountOn: (directory: string) => void): void {
  const handle = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    const { dev, ino } = fstatSync(handle, { bigint: true })
    const name = `/proc/self/fd/${handle}`
    if (`${dev}:${ino}` !== id || readlinkSync(name) !== directory) {
      throw new StorageError('invalid', `${directory} was changed while it was looked at`)
    }
    mountOn(name)
  } finally {
    closeSync(handle)
  }
}

async function attachByProgram(options: AttachOptions, { directory }: Place): Promise<Attached> {
  const fd = await fusermount({ ...options, directory })
  const own = { fd, directory, take: fusermountEnd }
  return { fd, way: 'fusermount3', directory, ...(await kept(own, fusermountDetach(directory))) }
}

interface Own {
  readonly fd: number
  readonly directory: string
  take(directory: string, lazy: boolean): Promise<void>
}

/** `command` takes it away when this process is dead. */
async function kept({ fd, directory, take }: Own, command: readonly string[]) {
  const mounted = await mountedAt(directory)
  // Gone already where it is not there.
  const device = mounted?.type === mountType ? mounted.device : undefined
  const guard = device === undefined ? undefined : await startGuard({ device, directory }, command)
  const seen = async () => (device === undefined ? undefined : placeOf(device))
  let isOver = false
  return {
    async detach(lazy: boolean): Promise<void> {
      const place = await seen()
      // What is over gives its numbers, of the mount and of the descriptor, to the next one: nothing of others is unmounted.
      if (!place || isOver || !isConnected(fd)) throw new StorageError('not-found', 'it is not mounted any more')
      if (place.isCovered) throw new StorageError('busy', `something else is mounted over ${place.directory}`)
      await take(place.directory, lazy)
    },
    async end(): Promise<void> {
      isOver = true
      const place = await seen().catch(() => undefined)
      // Who is served by nobody, as after an administrator has aborted the connection, is nobody's by now.
      if (place && !place.isCovered && (await hasDied(place.directory))) {
        await take(place.directory, true).catch(() => undefined)
      }
      guard?.dismiss()
    },
  }
}

const device = '/dev/fuse'

function openDevice(): number {
  try {
    return openSync(device, 'r+')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    const words =
      code === 'EACCES' || code === 'EPERM'
        ? `${device} may not be used: its mode has to be 0666, and a container has to be allowed the device`
        : `there is no ${device}: load the module (modprobe fuse), or give the container the device`
    throw new StorageError('invalid', words, { cause: error })
  }
}

function refusal(error: unknown): StorageError {
  if (error instanceof StorageError) return error
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EPERM') return new StorageError('invalid', notHere, { cause: error })
  if (code === 'ENODEV') return new StorageError('invalid', 'this kernel has no FUSE: modprobe fuse', { cause: error })
  return new StorageError('invalid', `mounting failed (${code})`, { cause: error })
}

function busy(error: unknown): never {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EINVAL') throw new StorageError('not-found', 'it is not mounted any more', { cause: error })
  throw new StorageError('busy', code === 'EBUSY' ? 'it is in use' : `unmounting failed (${code})`, { cause: error })
}

/** Bytes that the kernel reads ahead on its own: with 128 KiB, its default, requests are of 256 KiB at most. */
const readAhead = 4 * 1024

/** As root; others may not, and are served with what the kernel does on its own. Tells whether it was done. */
export async function raiseReadAhead(directory: string): Promise<boolean> {
  const mounted = await mountedAt(directory)
  if (mounted?.type !== mountType) return false
  return writeFile(`/sys/class/bdi/${mounted.device}/read_ahead_kb`, String(readAhead)).then(
    () => true,
    () => false,
  )
}
