/** Looks at objects whose attributes may be closed to the caller, for file systems: a name has to lead somewhere before it can be opened. */

import { permitsTrail } from '../../acl/authorizer.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import { type Gate, missing, nameAndType, named } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Path } from './path.ts'
import { syntheticEntry } from './reading.ts'
import type { Task } from './task.ts'

/**
 * StorageOperations.stat with `closedToo`: the entry, or its name and type. That it is there every other operation tells
 * whoever may go there, too.
 */
export function glance(gate: Gate, call: Call, path: Path): Promise<Entry> {
  return gate.perform(call, 'stat', path, async (task) => {
    const place = gate.place(task, 'stat', path)
    const trail = await gate.run(task, place, () => place.mount.backend.walk(place.inner, task))
    const isOpen = allowGlance(gate, task, place, trail)
    if (trail.entry) return isOpen ? named(place, trail.entry) : nameAndType(named(place, trail.entry))
    if (!task.namespace.leadsToMount(path)) throw missing(path)
    return syntheticEntry(task, path)
  })
}

/** Whether the attributes may be seen. Refuses whoever may not even go there. */
export function allowGlance(gate: Gate, task: Task, place: Place, trail: Trail): boolean {
  try {
    gate.allow(task, 'stat', place, trail)
    return true
  } catch (error) {
    if (!trail.entry || !(error instanceof StorageError && error.code === 'denied')) throw error
    const { principal } = task
    // What is missing asks for no rights: the way alone is decided about.
    gate.allowAs(task, 'stat', place, trail, ({ ancestors, parentExists }) =>
      permitsTrail(principal, 'stat', { ancestors, parentExists, entry: undefined }, place.path),
    )
    return false
  }
}
