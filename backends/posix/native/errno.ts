/** What a failed system call throws. */

import { constants } from 'node:os'

// Those that Node does not list.
const names = new Map<number, string>([
  [58, 'EADV'],
  [108, 'ESHUTDOWN'],
  [112, 'EHOSTDOWN'],
  [121, 'EREMOTEIO'],
  [123, 'ENOMEDIUM'],
  [124, 'EMEDIUMTYPE'],
  [126, 'ENOKEY'],
  [127, 'EKEYEXPIRED'],
  [128, 'EKEYREVOKED'],
  [524, 'ENOTSUPP'],
])
for (const [name, number] of Object.entries(constants.errno)) {
  // Two names have one number; the first is the one people know.
  if (name !== 'EWOULDBLOCK' && name !== 'EOPNOTSUPP') names.set(number, name)
}

/** The name of an error number, such as "ENOENT"; "E123" for one that has none. 95 is ENOTSUP. */
export function errnoName(number: number): string {
  return names.get(number) ?? `E${number}`
}

/** A failed system call. Has no stack: it is thrown often, and caught by its code. */
export class Errno extends Error {
  /** "ENOENT" and so on. */
  readonly code: string
  readonly errno: number
  /** The system call. */
  readonly syscall: string

  constructor(number: number, syscall: string) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    const code = errnoName(number)
    super(`${code}: ${syscall}`)
    Error.stackTraceLimit = limit
    this.name = 'Errno'
    this.code = code
    this.errno = number
    this.syscall = syscall
  }
}

/** Whether something thrown is an Errno of this code. */
export function isErrno(thrown: unknown, code: string): thrown is Errno {
  return thrown instanceof Errno && thrown.code === code
}
