/** The lease of a name: whoever compares what it means with what he wants to put there holds it meanwhile. */

import type { Trail } from '../backend.ts'
import type { Desk } from './desk.ts'

/** ms to wait for another one's change of the same name. */
const patience = 10_000

/**
 * The key of the name under which a trail ends, the same for all mounts and processes. Without device and time of
 * birth, which not every mount tells: two files that share a number wait for each other in vain, no more.
 */
export function leaseKey({ ancestors }: Trail, name: string): string {
  const [number = ''] = ancestors.at(-1)?.id.split('-') ?? []
  return `posix:${number.slice(number.indexOf('.') + 1)}/${name}`
}

/** Runs under the leases of some names, taken in the order of their keys so that nobody waits in a circle. */
export function underLeases<T>(desk: Desk, keys: readonly string[], work: () => Promise<T>): Promise<T> {
  const [first, ...rest] = [...new Set(keys)].sort()
  if (first === undefined) return work()
  return desk.services.leases.withLease(first, patience, () => underLeases(desk, rest, work))
}

/** Runs under the lease of the object's own name. */
export function underLease<T>(desk: Desk, trail: Trail, work: () => Promise<T>): Promise<T> {
  return underLeases(desk, [leaseKey(trail, trail.entry?.name ?? '')], work)
}
