/** The few calls of the C library that Node lacks: for mounting, and for taking a descriptor from fusermount3. */

import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'

const libc = koffi.load('libc.so.6')
const mountCall = libc.func('int mount(const char *, const char *, const char *, unsigned long, const char *)')
const unmountCall = libc.func('int umount2(const char *, int)')
const socketpairCall = libc.func('int socketpair(int, int, int, void *)')
const recvmsgCall = libc.func('long recvmsg(int, void *, int)')

/** Of mount(2). */
export const mountFlag = { readOnly: 1, noSuid: 2, noDevices: 4 } as const
/** Of umount2(2): the tree is rid of it at once, the file system ends when nothing uses it. */
export const detach = 2
const noFollow = 8

/** A failed call of the C library, with the names that Node gives to errors. */
function failure(syscall: string, path?: string): NodeJS.ErrnoException {
  const errno = koffi.errno()
  const code = getSystemErrorName(-errno)
  return Object.assign(new Error(`${syscall}: ${code}`), { code, errno: -errno, syscall, ...(path && { path }) })
}

/** mount(2). */
export function mount(source: string, directory: string, type: string, flags: number, data: string): void {
  if (mountCall(source, directory, type, flags, data) !== 0) throw failure('mount', directory)
}

/** umount2(2), never over a symbolic link. In a thread of the pool: it asks the file system, and so perhaps this process. */
export function unmount(directory: string, flags: number): Promise<void> {
  return new Promise((resolve, reject) => {
    unmountCall.async(directory, flags | noFollow, (error: unknown, status: number) => {
      if (error) reject(error)
      else if (status === 0) resolve()
      else reject(failure('umount2', directory))
    })
  })
}

/**
 * Whether the kernel lets us mount and unmount in this mount namespace. It is asked to unmount what is never mounted on: who
 * may not is told EPERM before that is looked at (umount(2)).
 */
export function mountIsAllowed(): boolean {
  return unmountCall('/proc/self/fd', noFollow) === 0 || failure('umount2').code !== 'EPERM'
}

const pollCall = libc.func('int poll(void *, unsigned long, int)')

/** Whether the kernel still has a mount behind a descriptor of /dev/fuse. Takes no request from it. */
export function isConnected(fd: number): boolean {
  // struct pollfd with no events asked for: the error is told all the same (poll(2)).
  const asked = Buffer.alloc(8)
  asked.writeInt32LE(fd, 0)
  if (pollCall(asked, 1, 0) < 0) throw failure('poll')
  return asked.readInt16LE(6) === 0
}

const prctlCall = libc.func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)')
const [ambient, clearAll] = [47, 4]

/** Programs that this thread starts get none of the capabilities that we have of our own namespace (capabilities(7)). */
export function keepCapabilities(): void {
  // EINVAL: a kernel without them.
  prctlCall(ambient, clearAll, 0, 0, 0)
}

const localFamily = 1
const streamType = 1
const closeOnExec = 0x80000
const controlCloseOnExec = 0x4000_0000

/** Two connected descriptors that no child gets unless it is handed one. */
export function socketPair(): readonly [number, number] {
  const pair = Buffer.alloc(8)
  if (socketpairCall(localFamily, streamType | closeOnExec, 0, pair) !== 0) throw failure('socketpair')
  return [pair.readInt32LE(0), pair.readInt32LE(4)]
}

/** Waits for one descriptor over a socket (unix(7), SCM_RIGHTS); undefined where the other end was closed without one. */
export function receiveDescriptor(socket: number): Promise<number | undefined> {
  // struct msghdr of one struct iovec, and room for a struct cmsghdr with one descriptor; 64-bit machines only.
  const data = Buffer.alloc(8)
  const control = Buffer.alloc(24)
  const vector = Buffer.alloc(16)
  vector.writeBigUInt64LE(BigInt(koffi.address(data)), 0)
  vector.writeBigUInt64LE(1n, 8)
  const message = Buffer.alloc(56)
  message.writeBigUInt64LE(BigInt(koffi.address(vector)), 16)
  message.writeBigUInt64LE(1n, 24)
  message.writeBigUInt64LE(BigInt(koffi.address(control)), 32)
  message.writeBigUInt64LE(BigInt(control.length), 40)
  return new Promise((resolve, reject) => {
    recvmsgCall.async(socket, message, controlCloseOnExec, (error: unknown, length: number) => {
      // Named here so that none of it is given back while the call writes to it.
      const [controlLength, parts] = [message.readBigUInt64LE(40), [data, vector].length]
      if (error) reject(error)
      else if (length < 0) reject(failure('recvmsg'))
      // SOL_SOCKET 1, SCM_RIGHTS 1.
      else if (length === 0 || parts === 0 || controlLength < 20n || control.readUInt32LE(8) !== 1) resolve(undefined)
      else if (control.readUInt32LE(12) !== 1) resolve(undefined)
      else resolve(control.readInt32LE(16))
    })
  })
}

const fcntlCall = libc.func('int fcntl(int, int, int)')
const setDescriptorFlags = 2

/** A program that this process becomes keeps the descriptor. Node closes all others then. */
export function keepOverExec(fd: number): void {
  if (fcntlCall(fd, setDescriptorFlags, 0) !== 0) throw failure('fcntl')
}
