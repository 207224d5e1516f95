/** What is kept with a file under its content version: digests, and a front end's record. */

import type { Backend, Entry, Kept, Pending, RecordOptions } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touchingAttributes } from './acting.ts'
import type { Call } from './call.ts'
import { type Gate, missing } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Path } from './path.ts'
import type { Task } from './task.ts'

/** Bytes of a record, as UTF-8. */
export const maxRecord = 65_536

const nothing: Kept = { digests: {} }

/** Throws `too-large`. */
export function requireRecord(record: string | undefined, path: Path): void {
  if (record === undefined || Buffer.byteLength(record) <= maxRecord) return
  throw new StorageError('too-large', 'the record of the file is too long', { path })
}

/** StorageOperations.getKept */
export function getKept(gate: Gate, call: Call, path: Path): Promise<{ readonly entry: Entry; readonly kept: Kept }> {
  return gate.perform(call, 'read', path, async (task) => {
    const place = gate.place(task, 'read', path)
    const { backend } = place.mount
    let entry: Entry | undefined
    const kept = await gate.act(
      task,
      place,
      async () => filesAlone(await look(backend, place.inner, task)),
      ({ trail }) => {
        gate.allow(task, 'read', place, trail)
        entry = trail.entry
        if (!entry && !backend.enforces(task.principal)) throw missing(path)
      },
    )
    if (!entry) throw missing(path)
    return { entry, kept }
  })
}

/**
 * What is kept of a file that has just been opened: as it came along, or asked for. Throws `stale` where the name has
 * got other bytes meanwhile.
 */
export async function keptOf(gate: Gate, task: Task, place: Place, entry: Entry, along?: Kept): Promise<Kept> {
  if (along) return along
  const pending = await look(place.mount.backend, place.inner, task)
  try {
    task.requireAlive()
    gate.allow(task, 'read', place, pending.trail)
    const now = pending.trail.entry
    if (now && now.version !== entry.version) {
      throw new StorageError('stale', 'the file has changed since it was opened', { path: place.path })
    }
    return await pending.proceed()
  } finally {
    await pending.release()
  }
}

async function look(backend: Backend, inner: Path, task: Task): Promise<Pending<Kept>> {
  const { records, checksums } = backend
  if (records) return records.get(inner, task)
  if (checksums) {
    const pending = await checksums.kept(inner, task)
    const proceed = async () => ({ digests: await pending.proceed() })
    return { trail: pending.trail, proceed, release: () => pending.release() }
  }
  return { trail: await backend.walk(inner, task), proceed: async () => nothing, release: async () => {} }
}

function filesAlone(pending: Pending<Kept>): Pending<Kept> {
  const { trail } = pending
  if (trail.entry === undefined || trail.entry.type === 'file') return pending
  return { trail, proceed: async () => nothing, release: () => pending.release() }
}

/** StorageOperations.setRecord */
export function setRecord(
  gate: Gate,
  call: Call,
  path: Path,
  record: string | undefined,
  options: RecordOptions,
): Promise<void> {
  return gate.perform(call, 'write-properties', path, async (task) => {
    const place = gate.place(task, 'write-properties', path)
    gate.requireWritable(place)
    requireRecord(record, path)
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
      { touching: touchingAttributes(place) },
    )
  })
}
