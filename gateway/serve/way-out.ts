/** The way out of a process that a thread may never leave, for who makes no back ends himself. */

export { exitNow } from '../../backends/posix/native/process.ts'
