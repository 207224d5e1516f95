/** Properties, checksums, usage: what goes with a file besides its bytes. */

import type { Digest, Digests, Usage } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touchingAttributes } from './acting.ts'
import type { Call } from './call.ts'
import { type Gate, missing, requirePlain } from './deciding.ts'
import { DigestSet } from './digests.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import type { Path } from './path.ts'
import { openFile, requireOnline, streamOf } from './reading.ts'
import type { Task } from './task.ts'

/** Bounds of one change; a back end may have narrower ones. */
const mostChanges = 1000
const maxPropertyName = 1024
const maxPropertyValue = 65_536

/** StorageOperations.getProperties */
export function getProperties(gate: Gate, call: Call, path: Path): Promise<ReadonlyMap<string, string>> {
  return gate.perform(call, 'read-properties', path, (task) => getPropertiesOf(gate, task, path, 'new'))
}

/** StorageOperations.setProperties */
export function setProperties(
  gate: Gate,
  call: Call,
  path: Path,
  changes: ReadonlyMap<string, string | undefined>,
): Promise<void> {
  return gate.perform(call, 'write-properties', path, (task) => setPropertiesOf(gate, task, path, changes, 'new'))
}

/** `getProperties` without an audit line. */
export async function getPropertiesOf(
  gate: Gate,
  task: Task,
  path: Path,
  admission: Admission,
): Promise<ReadonlyMap<string, string>> {
  const place = gate.place(task, 'read-properties', path)
  const { properties } = place.mount.backend
  if (!properties) throw unsupported(path, 'properties')
  return gate.act(
    task,
    place,
    () => properties.get(place.inner, task),
    ({ trail }) => {
      gate.allow(task, 'read-properties', place, trail)
      if (!trail.entry && !place.mount.backend.enforces(task.principal)) throw missing(path)
    },
    { admission },
  )
}

/** `setProperties` without an audit line. */
export async function setPropertiesOf(
  gate: Gate,
  task: Task,
  path: Path,
  changes: ReadonlyMap<string, string | undefined>,
  admission: Admission,
): Promise<void> {
  const place = gate.place(task, 'write-properties', path)
  gate.requireWritable(place)
  const { properties } = place.mount.backend
  if (!properties) throw unsupported(path, 'properties')
  if (changes.size > mostChanges) throw new StorageError('too-large', 'too many properties at once', { path })
  for (const [name, value = ''] of changes) {
    if (name === '') throw new StorageError('invalid', 'a property has no name', { path })
    if (Buffer.byteLength(name) > maxPropertyName || Buffer.byteLength(value) > maxPropertyValue) {
      throw new StorageError('too-large', 'a property is too large', { path })
    }
  }
  return gate.act(
    task,
    place,
    () => properties.set(place.inner, changes, task),
    ({ trail }) => {
      gate.allow(task, 'write-properties', place, trail)
      if (!trail.entry && !place.mount.backend.enforces(task.principal)) throw missing(path)
    },
    { admission, touching: touchingAttributes(place) },
  )
}

/** StorageOperations.checksum: whoever may not read the bytes may not know their digests either. */
export function checksum(
  gate: Gate,
  call: Call,
  path: Path,
  kinds: readonly Digest[],
  options: { readonly keptOnly?: boolean },
): Promise<Digests> {
  return gate.perform(call, 'checksum', path, async (task) => {
    const place = gate.place(task, 'read', path)
    const { checksums } = place.mount.backend
    if (options.keptOnly) return checksums ? pick(await kept(gate, task, place), kinds) : {}
    const nearline = await digestsOnTape(gate, task, place, kinds)
    if (nearline) return nearline
    const own = kinds.filter((kind) => checksums?.kinds.includes(kind))
    const others = kinds.filter((kind) => !own.includes(kind))
    const computed = own.length > 0 ? await computeInside(gate, task, place, own) : {}
    return others.length > 0 ? { ...computed, ...(await computeHere(gate, task, place, others)) } : computed
  })
}

/** Digests that are kept, without an audit line. */
export async function keptDigestsOf(gate: Gate, task: Task, path: Path, kinds: readonly Digest[]): Promise<Digests> {
  const place = gate.place(task, 'read', path)
  return place.mount.backend.checksums ? pick(await kept(gate, task, place, 'continues'), kinds) : {}
}

/** What is kept of a file on tape: asking for its digests does not bring it back. Undefined for any other. */
async function digestsOnTape(
  gate: Gate,
  task: Task,
  place: Place,
  kinds: readonly Digest[],
): Promise<Digests | undefined> {
  const { backend } = place.mount
  if (!backend.tape) return undefined
  const trail = await gate.run(task, place, () => backend.walk(place.inner, task))
  const entry = gate.existing(task, 'read', place, trail)
  if (entry.locality !== 'tape') return undefined
  const known = backend.checksums ? pick(await kept(gate, task, place), kinds) : {}
  if (kinds.some((kind) => known[kind] === undefined)) requireOnline(place, entry)
  return known
}

/** StorageOperations.usage */
export function usage(gate: Gate, call: Call, path: Path): Promise<Usage> {
  return gate.perform(call, 'usage', path, async (task) => {
    const place = gate.place(task, 'stat', path)
    const { quotas } = place.mount.backend
    if (!quotas) throw unsupported(path, 'quotas')
    return gate.act(
      task,
      place,
      () => quotas.usage(place.inner, task),
      ({ trail }) => {
        gate.allow(task, 'stat', place, trail)
        if (!trail.entry && !place.mount.backend.enforces(task.principal)) throw missing(path)
      },
    )
  })
}

function kept(gate: Gate, task: Task, place: Place, admission: Admission = 'new'): Promise<Digests> {
  const { checksums } = place.mount.backend
  if (!checksums) throw unsupported(place.path, 'checksums')
  return gate.act(
    task,
    place,
    () => checksums.kept(place.inner, task),
    ({ trail }) => {
      gate.allow(task, 'read', place, trail)
      if (!trail.entry && !place.mount.backend.enforces(task.principal)) throw missing(place.path)
      if (trail.entry) requireFile(place, trail.entry.type)
    },
    { admission },
  )
}

async function computeInside(gate: Gate, task: Task, place: Place, kinds: readonly Digest[]): Promise<Digests> {
  const { backend, deadline } = place.mount
  const { checksums } = backend
  if (!checksums) throw unsupported(place.path, 'checksums')
  // The size decides how long it may take.
  const trail = await gate.run(task, place, () => backend.walk(place.inner, task))
  const { size } = gate.existing(task, 'read', place, trail)
  return gate.act(
    task,
    place,
    () => checksums.compute(place.inner, kinds, task),
    (pending) => {
      gate.allow(task, 'read', place, pending.trail)
      const { entry } = pending.trail
      if (!entry) return
      requireFile(place, entry.type)
      requirePlain(entry, place.path)
      requireOnline(place, entry)
    },
    { admission: 'continues', deadline: deadline + size / hashedBytesPerMs },
  )
}

/** Bytes of a file that add a millisecond to the deadline of computing its digests. */
const hashedBytesPerMs = 32 * 1024

async function computeHere(gate: Gate, task: Task, place: Place, kinds: readonly Digest[]): Promise<Digests> {
  const file = await openFile(gate, task, place)
  try {
    const digests = new DigestSet(kinds)
    const range = { start: 0, end: file.entry.size }
    if (file.content) digests.update(file.content)
    else for await (const chunk of streamOf(gate, task, place.mount, file, range)) digests.update(chunk)
    return digests.finish()
  } finally {
    await file.close()
  }
}

function requireFile({ path }: Place, type: string): void {
  if (type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
}

function pick(digests: Digests, kinds: readonly Digest[]): Digests {
  return Object.fromEntries(kinds.flatMap((kind) => (digests[kind] ? [[kind, digests[kind]]] : [])))
}

function unsupported(path: Path, what: string): StorageError {
  return new StorageError('unsupported', `this mount has no ${what}`, { path })
}
