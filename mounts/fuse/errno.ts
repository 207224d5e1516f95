/** The one way in which an operation of the mount tells the kernel a number of its own. */

import { constants } from 'node:os'

export type ErrnoName = keyof typeof constants.errno

/** Thrown by operations; `number` is positive. */
export class Errno extends Error {
  readonly number: number
  readonly errno: ErrnoName

  constructor(name: ErrnoName, details: { readonly cause?: unknown } = {}) {
    // Most of them are no faults: the kernel is told so for each file that has no label. Nobody reads where they come from.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(name, details)
    Error.stackTraceLimit = stackTraceLimit
    this.name = 'Errno'
    this.errno = name
    this.number = constants.errno[name]
  }
}
