/** Whether a caller may list a directory, told without its names and without an audit line: nothing is shown. */

import type { Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import type { Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Path } from './path.ts'
import { Task } from './task.ts'

const closed: ReadonlySet<string> = new Set(['denied', 'unauthenticated', 'not-found', 'not-directory', 'no-parent'])

/** StorageOperations.mayList: one look, or where the storage decides a listing that is opened. Fails where it does not answer. */
export async function mayList(gate: Gate, call: Call, directory: Path): Promise<boolean> {
  const task = new Task(call, 'list', directory, gate.namespace)
  try {
    const place = gate.place(task, 'list', directory)
    const { backend } = place.mount
    if (backend.enforces(task.principal)) return await isOpened(gate, task, place)
    const trail = await gate.run(task, place, () => backend.walk(place.inner, task), { admission: 'continues' })
    gate.allow(task, 'list', place, trail)
    if (!trail.entry) return task.namespace.leadsToMount(directory)
    return trail.entry.type === 'directory'
  } catch (error) {
    if (!(error instanceof StorageError && closed.has(error.code))) throw error
    return error.code === 'not-found' && task.namespace.leadsToMount(directory)
  } finally {
    task.ended = true
    task.detach()
  }
}

/** To go through a directory takes less than to list it, and only the storage knows. */
async function isOpened(gate: Gate, task: Task, place: Place): Promise<boolean> {
  const { backend } = place.mount
  const listing = await gate.act(
    task,
    place,
    () => backend.list(place.inner, {}, task),
    ({ trail }) => gate.allow(task, 'list', place, trail),
    { admission: 'continues', late: (late) => late.close?.() },
  )
  listing.close?.()
  return true
}
