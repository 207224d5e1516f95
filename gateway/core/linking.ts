/** symlink, link and exchange: names that lead elsewhere, second names, and names that change places. */

import { type Decision, permitsPath, permitsTrail } from '../../acl/authorizer.ts'
import { isOwner } from '../../acl/evaluate.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touching } from './acting.ts'
import type { Call } from './call.ts'
import { denied, type Gate, missing, named, requireParent, requirePlain } from './deciding.ts'
import { StorageError } from './errors.ts'
import { parentGone } from './making.ts'
import { isWithin, type Path } from './path.ts'
import type { Task } from './task.ts'

/** Longest target of a link in bytes (Linux PATH_MAX without the final NUL). */
const maxTarget = 4095
const setIds = 0o6000

/** StorageOperations.symlink */
export function symlink(gate: Gate, call: Call, path: Path, target: string): Promise<Entry> {
  return gate.perform(call, 'symlink', path, async (task) => {
    requireTarget(target, path)
    const place = placeOfName(gate, task, path)
    const { linking } = place.mount.backend
    if (!linking) throw unsupported('symbolic links', path)
    const making = gate.act(
      task,
      place,
      () => linking.symlink(place.inner, target, task),
      ({ trail }) => decideName(gate, task, place, trail),
      { touching: touching(place, 'name', (made) => made) },
    )
    return making.catch((error) => {
      throw parentGone(error, path)
    })
  })
}

/** StorageOperations.link */
export function link(gate: Gate, call: Call, from: Path, to: Path): Promise<Entry> {
  return gate.perform(call, 'link', from, (task) => linkFile(gate, task, from, to), to)
}

async function linkFile(gate: Gate, task: Task, from: Path, to: Path): Promise<Entry> {
  const source = gate.place(task, 'edit', from)
  // Under its other name the file would be read by what the credential says of that one.
  gate.place(task, 'read', from)
  const target = placeOfName(gate, task, to)
  gate.requireWritable(source)
  // Two mounts of one storage may have rules of their own.
  if (source.mount !== target.mount) throw new StorageError('cross-mount', 'these are two mounts', { path: to })
  const { linking } = source.mount.backend
  const make = linking?.link?.bind(linking)
  if (!make) throw unsupported('second names of files', from)
  let goal: Trail | undefined
  const making = gate.act(
    task,
    source,
    async () => {
      const pending = await make(source.inner, target.inner, task)
      goal = pending.target
      return pending
    },
    ({ trail }) => {
      decideSource(gate, task, source, trail)
      if (goal) decideName(gate, task, target, goal)
    },
    {
      touching: {
        touched: ({ trail }) => [
          { place: source, trail, touch: 'content', told: 'attributes' },
          { place: target, trail: goal, touch: 'name' },
        ],
      },
    },
  )
  return named(target, await making)
}

/**
 * Who gives a file a second name keeps it where its owner cannot remove it: only the owner does that, and whoever may
 * read and write it anyway (proc_sys_fs(5), protected_hardlinks).
 */
function decideSource(gate: Gate, task: Task, source: Place, trail: Trail): void {
  const { principal } = task
  const { path } = source
  const { entry } = trail
  const permits = (action: 'stat' | 'read' | 'edit', seen: Trail) => permitsTrail(principal, action, seen, path)
  const way = gate.permitsWay(task, 'edit', source, trail)
  if (!way.allowed) throw denied(path, way.reason)
  gate.allowAs(task, 'read', source, trail, (seen): Decision => {
    if (entry?.acl && isOwner(entry.acl, principal)) return permits('stat', seen)
    const read = permits('read', seen)
    return read.allowed ? permits('edit', seen) : read
  })
  if (!entry) {
    if (source.mount.backend.enforces(principal)) return
    throw missing(path)
  }
  if (entry.type === 'directory') throw new StorageError('is-directory', 'directories have one name', { path })
  requirePlain(entry, path)
  if (source.mount.backend.enforces(principal) || ((entry.mode ?? 0) & setIds) === 0) return
  throw denied(path, { rule: 'mode', text: 'files with set-id bits get no second name', path })
}

/** The credential's half for a name that may lead to anything: more than the right to upload files. */
function placeOfName(gate: Gate, task: Task, path: Path): Place {
  const decision = permitsPath(task.principal, 'move-in-file', path)
  if (!decision.allowed) throw denied(path, decision.reason)
  const place = gate.place(task, 'create', path)
  if (task.principal.maxUpload !== undefined) {
    throw denied(path, { rule: 'max-upload', text: 'what is bounded in size makes no links', path })
  }
  gate.requireWritable(place)
  gate.requireMovable(task, path)
  return place
}

function decideName(gate: Gate, task: Task, place: Place, trail: Trail): void {
  const { path, mount } = place
  const way = gate.permitsWay(task, 'move-in-file', place, trail)
  if (!way.allowed) throw denied(path, way.reason)
  gate.allow(task, 'create', place, trail)
  if (trail.entry) throw new StorageError('exists', 'something of that name exists', { path })
  if (!mount.backend.enforces(task.principal)) requireParent(trail, path)
}

function requireTarget(target: string, path: Path): void {
  if (target === '' || target.includes('\0') || !target.isWellFormed()) {
    throw new StorageError('invalid', 'this cannot be the target of a link', { path })
  }
  if (Buffer.byteLength(target) <= maxTarget) return
  throw new StorageError('name-too-long', `the target is longer than ${maxTarget} bytes`, { path })
}

/** StorageOperations.exchange: each is moved away and moved in, so it takes the rights of both moves. */
export function exchange(gate: Gate, call: Call, one: Path, other: Path): Promise<void> {
  return gate.perform(call, 'exchange', one, (task) => exchangeBoth(gate, task, one, other), other)
}

async function exchangeBoth(gate: Gate, task: Task, one: Path, other: Path): Promise<void> {
  const first = movablePlace(gate, task, one)
  const second = movablePlace(gate, task, other)
  const { backend } = first.mount
  const { principal } = task
  if (first.mount !== second.mount) throw new StorageError('cross-mount', 'these are two mounts', { path: other })
  const { exchanging } = backend
  if (!exchanging) throw unsupported('exchange of names', one)
  if (one !== other && (isWithin(one, other) || isWithin(other, one))) {
    throw new StorageError('invalid', 'one of them lies in the other', { path: other })
  }
  // What the credential allows depends on what they are, which a back end that enforces need not show.
  if (backend.enforces(principal) && principal.grants !== 'unbounded') await decideByWalk(gate, task, first, second)
  let goal: Trail | undefined
  await gate.act(
    task,
    first,
    async () => {
      const pending = await exchanging.exchange(first.inner, second.inner, task)
      goal = pending.target
      return pending
    },
    ({ trail }) => decideExchange(gate, task, first, trail, second, goal),
    {
      touching: {
        touched: ({ trail }) => [
          { place: first, trail, touch: 'tree', goes: { to: second.path, swaps: true } },
          { place: second, trail: goal, touch: 'tree' },
        ],
      },
    },
  )
  gate.openFiles.moved(first, second, true)
}

function movablePlace(gate: Gate, task: Task, path: Path): Place {
  const place = gate.place(task, 'move-away', path)
  gate.requireWritable(place)
  gate.requireMovable(task, path)
  return place
}

async function decideByWalk(gate: Gate, task: Task, first: Place, second: Place): Promise<void> {
  const walk = (place: Place) => gate.run(task, place, () => place.mount.backend.walk(place.inner, task))
  const [one, other] = [await walk(first), await walk(second)]
  for (const [{ path }, { entry }] of [[first, one] as const, [second, other] as const]) if (!entry) throw missing(path)
  decideExchange(gate, task, first, one, second, other)
}

function decideExchange(
  gate: Gate,
  task: Task,
  first: Place,
  one: Trail,
  second: Place,
  other: Trail | undefined,
): void {
  gate.allow(task, 'move-away', first, one)
  if (other) gate.allow(task, 'move-away', second, other)
  const enforces = first.mount.backend.enforces(task.principal)
  if (!enforces && !one.entry) throw missing(first.path)
  if (!enforces && !other?.entry) throw missing(second.path)
  decideInto(gate, task, second, other, one.entry)
  decideInto(gate, task, first, one, other?.entry)
}

/** `comes`: what is to be there. */
function decideInto(gate: Gate, task: Task, place: Place, trail: Trail | undefined, comes: Entry | undefined): void {
  if (!trail || !comes) return
  const action = comes.type === 'directory' ? 'move-in-directory' : 'move-in-file'
  const decision = permitsPath(task.principal, action, place.path)
  if (!decision.allowed) throw denied(place.path, decision.reason)
  gate.allow(task, action, place, trail)
}

function unsupported(what: string, path: Path): StorageError {
  return new StorageError('unsupported', `this mount has no ${what}`, { path })
}
