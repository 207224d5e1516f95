/** What a thread may do beyond its ids (capabilities(7)), read and given up by raw system calls. */

import { callNumbers } from './constants.ts'
import { Errno } from './errno.ts'
import { fail, libc } from './library.ts'

/** Sets of capability numbers as bits. */
export interface CapabilitySets {
  readonly effective: bigint
  readonly permitted: bigint
  readonly inheritable: bigint
}

const syscall = libc.func('long syscall(long, void *, void *)')
const prctl = libc.func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)')

const version3 = 0x20080522
const header = new Uint32Array(2)
const data = new Uint32Array(6)

const PR_CAPBSET_READ = 23
const PR_CAPBSET_DROP = 24
const PR_CAP_AMBIENT = 47
const PR_CAP_AMBIENT_IS_SET = 1
const PR_CAP_AMBIENT_RAISE = 2
const PR_CAP_AMBIENT_CLEAR_ALL = 4
const PR_SET_NO_NEW_PRIVS = 38
const PR_GET_NO_NEW_PRIVS = 39

/** The set that holds these capability numbers. */
export function capabilitySet(...numbers: readonly number[]): bigint {
  return numbers.reduce((set, number) => set | (1n << BigInt(number)), 0n)
}

/** Of the calling thread. */
export function getCapabilities(): CapabilitySets {
  head()
  if (syscall(numbers().capget, header, data) < 0) fail('capget')
  const set = (index: number): bigint => BigInt(data[index] ?? 0) | (BigInt(data[index + 3] ?? 0) << 32n)
  return { effective: set(0), permitted: set(1), inheritable: set(2) }
}

/** Of the calling thread alone. EPERM for more than it has. */
export function setCapabilities(sets: CapabilitySets): void {
  head()
  for (const [index, set] of [sets.effective, sets.permitted, sets.inheritable].entries()) {
    data[index] = Number(set & 0xffff_ffffn)
    data[index + 3] = Number(set >> 32n)
  }
  if (syscall(numbers().capset, header, data) < 0) fail('capset')
}

/** The set of which nothing can be had back, not even by executing a program. */
export function boundingSet(): bigint {
  let set = 0n
  // EINVAL marks the end of the capabilities this kernel knows.
  for (let number = 0; number < 64; number++) {
    const answer: number = prctl(PR_CAPBSET_READ, number, 0, 0, 0)
    if (answer < 0) break
    if (answer === 1) set |= 1n << BigInt(number)
  }
  return set
}

/** Needs CAP_SETPCAP. */
export function dropFromBoundingSet(number: number): void {
  if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0) fail('prctl')
}

/** The set that survives the execution of an ordinary program. */
export function ambientSet(): bigint {
  let set = 0n
  for (let number = 0; number < 64; number++) {
    const answer: number = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0)
    if (answer < 0) break
    if (answer === 1) set |= 1n << BigInt(number)
  }
  return set
}

/** The ambient set becomes exactly these; each must be permitted and inheritable. */
export function setAmbient(numbers: readonly number[]): void {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) fail('prctl')
  for (const number of numbers) {
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0) fail('prctl')
  }
}

/** No program executed from here gains anything by set-user-id bits or file capabilities. Cannot be undone. */
export function setNoNewPrivileges(): void {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail('prctl')
}

export function noNewPrivileges(): boolean {
  return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) === 1
}

function head(): void {
  header[0] = version3
  header[1] = 0
}

function numbers(): NonNullable<typeof callNumbers> {
  if (!callNumbers) throw new Errno(38, 'syscall')
  return callNumbers
}
