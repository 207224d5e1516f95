/** Earlier states of files: whoever reads one needs the right today and must have had it then. */

import { permitsTrail } from '../../acl/authorizer.ts'
import type { FileVersion, OpenFile, Pending } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import { clip, type Gate, named } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Path } from './path.ts'
import type { Task } from './task.ts'

/** One earlier state, as it is shown. */
export type ShownVersion = Omit<FileVersion, 'trail'>

/** Codes that say that a file is not there today; then the way that is left and its ACL of then decide. */
const gone: ReadonlySet<string> = new Set(['not-found', 'no-parent', 'not-directory', 'is-directory'])

/** StorageOperations.versions: those whose attributes the caller may see today and might see then. */
export function versions(gate: Gate, call: Call, path: Path): Promise<readonly ShownVersion[]> {
  return gate.perform(call, 'versions', path, async (task) => {
    const place = gate.place(task, 'stat', path)
    const { backend } = place.mount
    const facet = facetOf(place)
    const found = await gate.act(
      task,
      place,
      () => facet.list(place.inner, task),
      ({ trail }) => gate.allow(task, 'stat', place, trail),
    )
    const shown = backend.enforces(task.principal)
      ? found
      : found.filter(({ trail }) => permitsTrail(task.principal, 'stat', clip(place.mount, trail), path).allowed)
    return shown.map(({ version, kept, entry }) => ({ version, kept, entry: named(place, entry) }))
  })
}

/** Opens a version once today's decision to read the path is made; that about then is the caller's to make, by the trail. */
export async function openVersion(gate: Gate, task: Task, place: Place, version: string): Promise<Pending<OpenFile>> {
  const facet = facetOf(place)
  await requireToday(gate, task, place)
  return facet.open(place.inner, version, task)
}

async function requireToday(gate: Gate, task: Task, place: Place): Promise<void> {
  const { backend } = place.mount
  try {
    const pending = await backend.open(place.inner, {}, task)
    try {
      task.requireAlive()
      gate.allow(task, 'read', place, pending.trail)
      // Where the back end decides, only opening tells.
      if (backend.enforces(task.principal)) await (await pending.proceed()).close()
    } finally {
      await pending.release()
    }
  } catch (error) {
    if (!(error instanceof StorageError) || !gone.has(error.code)) throw error
  }
}

function facetOf({ mount, path }: Place) {
  const { versions: facet } = mount.backend
  if (facet) return facet
  throw new StorageError('unsupported', 'this mount keeps no earlier versions', { path })
}
