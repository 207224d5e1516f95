/** locality: whether files are on disk or on tape. Never makes a tape move. */

import type { Locality } from '../../backends/backend.ts'
import type { Mount, Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import type { Gate } from './deciding.ts'
import { decideMany, eachOf, type Verdict } from './deciding-many.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import { type Path, root } from './path.ts'
import { Task } from './task.ts'

/** Of one call. */
export const maxLocalities = 50_000
/** Files of one call to a back end. */
const block = 1000

/** StorageOperations.locality */
export function locality(
  gate: Gate,
  call: Call,
  paths: readonly Path[],
): Promise<ReadonlyArray<Locality | StorageError>> {
  return gate.perform(call, 'locality', paths[0] ?? root, async (task) => {
    if (paths.length > maxLocalities) {
      throw new StorageError('too-large', `a request takes at most ${maxLocalities} paths`)
    }
    task.items = paths.length
    const verdicts = await decideMany(gate, task, 'locality', [...new Set(paths)])
    const first = verdicts[0]?.error
    if (first?.code === 'unauthenticated' && verdicts.every(({ error }) => error?.code === first.code)) throw first
    const known = new Map<Path, Locality | StorageError>()
    const asked = new Map<Mount, Place[]>()
    for (const verdict of verdicts) {
      const { place } = verdict
      const answer = answerOf(verdict)
      if (answer !== undefined) known.set(place.path, answer)
      else {
        const places = asked.get(place.mount)
        if (places) places.push(place)
        else asked.set(place.mount, [place])
      }
    }
    await eachOf([...asked], asked.size, ([mount, places]) => ask(gate, task, mount, places, known))
    return paths.map((path) => known.get(path) ?? new StorageError('internal', 'a path got no answer', { path }))
  })
}

/** Undefined: the back end is to be asked. */
function answerOf({ place, entry, error }: Verdict): Locality | StorageError | undefined {
  if (error) return error
  if (entry?.locality !== undefined) return entry.locality
  if (entry && entry.type !== 'file') return 'none'
  return place.mount.backend.tape ? undefined : 'disk'
}

async function ask(
  gate: Gate,
  task: Task,
  mount: Mount,
  places: readonly Place[],
  known: Map<Path, Locality | StorageError>,
): Promise<void> {
  const own = new Task(task, 'locality', mount.at, task.namespace)
  try {
    for (let at = 0; at < places.length; at += block) {
      const part = places.slice(at, at + block)
      const answers = await askBlock(gate, own, mount, part, at === 0 ? 'new' : 'continues')
      for (const [index, { path }] of part.entries()) {
        const answer = answers instanceof StorageError ? answers : answers[index]
        known.set(path, answer ?? new StorageError('unavailable', 'the storage did not tell', { path }))
      }
    }
  } finally {
    own.detach()
  }
}

async function askBlock(
  gate: Gate,
  task: Task,
  mount: Mount,
  places: readonly Place[],
  admission: Admission,
): Promise<ReadonlyArray<Locality | StorageError> | StorageError> {
  const { tape } = mount.backend
  if (!tape) return new StorageError('unsupported', 'this mount has no tape')
  const inner = places.map((place) => place.inner)
  const place = { mount, path: mount.at, inner: mount.base }
  try {
    return await gate.run(task, place, () => tape.locality(inner, task), { admission })
  } catch (error) {
    return StorageError.from(error)
  }
}
