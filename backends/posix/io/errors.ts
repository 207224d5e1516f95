/** From what the kernel answers to the gateway's vocabulary of errors. */

import type { ErrorCode } from '../../../gateway/core/errors.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { errnoName } from '../native/errno.ts'

interface Meaning {
  readonly code: ErrorCode
  readonly message: string
  /** Seconds. */
  readonly retryAfter?: number
}

const denied: Meaning = { code: 'denied', message: 'permission denied' }
const down: Meaning = { code: 'unavailable', message: 'the file system does not answer', retryAfter: 10 }
const busy: Meaning = { code: 'busy', message: 'the file system is busy', retryAfter: 1 }
const unsupported: Meaning = { code: 'unsupported', message: 'the file system cannot do this' }
const stale: Meaning = { code: 'stale', message: 'the object has changed or gone' }
const descriptors: Meaning = { code: 'busy', message: 'too many open files', retryAfter: 5 }
const tooLarge: Meaning = { code: 'too-large', message: 'more than the file system can hold' }

const meanings: Readonly<Record<string, Meaning>> = {
  EACCES: denied,
  EPERM: denied,
  // A link that must not be followed; with links followed, a loop of them.
  ELOOP: { code: 'denied', message: 'symbolic links are not followed here' },
  ENOENT: { code: 'not-found', message: 'no such file or directory' },
  ENOTDIR: { code: 'not-directory', message: 'not a directory' },
  EISDIR: { code: 'is-directory', message: 'is a directory' },
  EEXIST: { code: 'exists', message: 'already exists' },
  ENOTEMPTY: { code: 'not-empty', message: 'the directory is not empty' },
  EXDEV: { code: 'cross-mount', message: 'crosses a file system boundary' },
  ENOSPC: { code: 'no-space', message: 'the file system is full' },
  EDQUOT: { code: 'quota', message: 'the quota is used up' },
  EROFS: { code: 'read-only', message: 'the file system is read-only' },
  ENAMETOOLONG: { code: 'name-too-long', message: 'the name is too long' },
  EFBIG: tooLarge,
  EOVERFLOW: tooLarge,
  E2BIG: tooLarge,
  EMLINK: { code: 'no-space', message: 'too many links' },
  ERANGE: tooLarge,
  ESTALE: stale,
  EIO: down,
  ETIMEDOUT: down,
  ENOTCONN: down,
  EHOSTDOWN: down,
  EHOSTUNREACH: down,
  ENETUNREACH: down,
  ECONNREFUSED: down,
  ECONNRESET: down,
  ECONNABORTED: down,
  ESHUTDOWN: down,
  EREMOTEIO: down,
  ENODEV: down,
  ENXIO: down,
  ENOMEDIUM: down,
  EBUSY: busy,
  EAGAIN: busy,
  EINTR: busy,
  EDEADLK: busy,
  ENOLCK: busy,
  ENOMEM: busy,
  ENFILE: descriptors,
  EMFILE: descriptors,
  ETXTBSY: { code: 'locked', message: 'the file is being executed' },
  EKEYEXPIRED: denied,
  EKEYREVOKED: denied,
  ENOKEY: denied,
  ENOTSUP: unsupported,
  EOPNOTSUPP: unsupported,
  ENOSYS: unsupported,
  ENOTTY: unsupported,
  ENODATA: { code: 'not-found', message: 'no such attribute' },
  EINVAL: { code: 'invalid', message: 'the file system refuses this' },
  EILSEQ: { code: 'invalid', message: 'the file system refuses this name' },
}

/** The confined look-up answers EXDEV when a path would leave its tree or enter another mount (openat2(2)). */
const leftTheTree: Meaning = { code: 'denied', message: 'the path leads out of the tree' }

/**
 * What was thrown by a system call, ours or Node's, as a StorageError with the original as its cause. A
 * StorageError is returned as it is; anything unknown is `internal`.
 */
export function fromKernel(thrown: unknown, path?: Path): StorageError {
  if (thrown instanceof StorageError) return thrown
  const { code, syscall } = systemError(thrown)
  const meaning = code === 'EXDEV' && syscall === 'openat2' ? leftTheTree : code && meanings[code]
  if (!meaning) return StorageError.from(thrown)
  return new StorageError(meaning.code, meaning.message, {
    cause: thrown,
    ...(path === undefined ? {} : { path }),
    ...(meaning.retryAfter === undefined ? {} : { retryAfter: meaning.retryAfter }),
    ...(meaning.code === 'denied'
      ? { reason: { rule: 'kernel', text: `the file system refused: ${syscall ?? 'call'} gave ${code}` } }
      : {}),
  })
}

function systemError(thrown: unknown): { readonly code?: string; readonly syscall?: string } {
  if (!(thrown instanceof Error) || !('code' in thrown) || typeof thrown.code !== 'string') return {}
  const { errno } = thrown as NodeJS.ErrnoException
  // Node's own are negative. Its library has no names for EDQUOT, ESTALE and a few more (uv_errno_t).
  const code = typeof errno === 'number' && errno < 0 ? errnoName(-errno) : thrown.code
  if (!('syscall' in thrown) || typeof thrown.syscall !== 'string') return { code }
  return { code, syscall: thrown.syscall }
}
