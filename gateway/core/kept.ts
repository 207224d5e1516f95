/** What is kept with a file under its content version: digests, and a front end's record. */

import type { Entry, Kept } from '../../backends/backend.ts'
import { touching } from './acting.ts'
import type { Call } from './call.ts'
import { type Gate, missing } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Path } from './path.ts'

/** Bytes of a record, as UTF-8. */
export const maxRecord = 65_536

/** StorageOperations.getKept */
export function getKept(gate: Gate, call: Call, path: Path): Promise<{ readonly entry: Entry; readonly kept: Kept }> {
  return gate.perform(call, 'read', path, async (task) => {
    const place = gate.place(task, 'read', path)
    const { records } = place.mount.backend
    let entry: Entry | undefined
    const look = async () => {
      if (records) return records.get(place.inner, task)
      const trail = await place.mount.backend.walk(place.inner, task)
      return { trail, proceed: async (): Promise<Kept> => ({ digests: {} }), release: async () => {} }
    }
    const kept = await gate.act(task, place, look, ({ trail }) => {
      gate.allow(task, 'read', place, trail)
      entry = trail.entry
    })
    if (!entry) throw missing(path)
    return { entry, kept }
  })
}

/** StorageOperations.setRecord */
export function setRecord(
  gate: Gate,
  call: Call,
  path: Path,
  record: string | undefined,
  options: { readonly version: string },
): Promise<void> {
  return gate.perform(call, 'write-properties', path, async (task) => {
    const place = gate.place(task, 'write-properties', path)
    gate.requireWritable(place)
    const { records } = place.mount.backend
    if (!records) throw new StorageError('unsupported', 'this mount keeps no records', { path })
    return gate.act(
      task,
      place,
      () => records.set(place.inner, record, options, task),
      ({ trail }) => {
        gate.allow(task, 'write-properties', place, trail)
        if (!trail.entry && !place.mount.backend.enforces(task.principal)) throw missing(path)
      },
      { touching: touching(place, 'content') },
    )
  })
}
