/**
 * ACLs that only a path leads to, because no system call on a descriptor does: read and written beside the file
 * system, with great rights. A path may lead elsewhere from one moment to the next. So what was read belongs to an
 * object only where looks before and after saw it there, and what is written goes through a descriptor of the object;
 * by its name only where nobody else could give that to another object.
 */

import type { Acl } from '../../acl/acl.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Entry, Trail } from '../backend.ts'

/** Looks at a path anew, without ACLs. */
export type Glance = (path: Path, signal: AbortSignal) => Promise<Trail>

/** What was seen, with ACLs. `moved`: something was no longer where it had been seen, so the look is worth repeating. */
export interface Completed {
  readonly trail: Trail
  readonly moved: boolean
}

/** Which entries of a look get their ACL. */
export type Which = 'all' | 'object'

/** An object of which this process has a descriptor (O_PATH). */
export interface HeldObject {
  readonly fd: number
  /** To be called once, when nobody can look at the descriptor any more: its number then means another object. */
  release(): void
}

/** Fetches and stores ACLs for one mount, on the main thread. */
export interface PathAcls {
  /** Gives the entries their ACLs. One that cannot be read, or not be tied to its object, is absent. */
  complete(trail: Trail, path: Path, which: Which, glance: Glance, signal: AbortSignal): Promise<Completed>
  /** The same for some entries of one directory. */
  completeEntries(
    directory: Path,
    entries: readonly Entry[],
    glance: Glance,
    signal: AbortSignal,
  ): Promise<readonly Entry[]>
  /**
   * Replaces the list of an object that is held open, whatever its names mean by then. Absent where whoever writes
   * cannot be handed a descriptor.
   */
  writeHeld?(object: HeldObject, acl: Acl, signal: AbortSignal): Promise<void>
  /** The same by name. Present where nobody but the gateway changes names in the tree. */
  writeNamed?(path: Path, acl: Acl, signal: AbortSignal): Promise<void>
  /** Whether a list that was read may be written again: false where something in it was not understood. */
  isWhole(acl: Acl): boolean
}

/** What is told of an object of which no ACL is known. */
export function withoutAcl({ acl, generation: _, ...entry }: Entry): Entry {
  const { owner, group } = acl ?? {}
  return { ...entry, ...(owner !== undefined && { owner }), ...(group !== undefined && { group }) }
}

/** The objects of a way, from the top down. */
export function wayOf({ ancestors, entry }: Trail): readonly Entry[] {
  return entry ? [...ancestors, entry] : ancestors
}

/**
 * Whether a way led through the same objects all the time between two looks. A name was not given to another object
 * meanwhile if its directory has not changed, or if the object has not: a rename changes the one, and with most file
 * systems the other too.
 */
export function heldStill(before: readonly Entry[], after: readonly Entry[]): boolean {
  if (before.length !== after.length) return false
  return before.every((entry, i) => {
    const now = after[i]
    if (now?.id !== entry.id || now.generation !== entry.generation || now.type !== entry.type) return false
    const [above, aboveNow] = [before[i - 1], after[i - 1]]
    return above === undefined || above.changed === aboveNow?.changed || entry.changed === now.changed
  })
}
