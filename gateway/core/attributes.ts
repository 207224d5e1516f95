/** Attributes, ACLs and effective rights. */

import { type Acl, maxAces, type Rights } from '../../acl/acl.ts'
import { permitsOwner, permitsPath, permitsTrail, rightsOn } from '../../acl/authorizer.ts'
import { type Action, actions, needs } from '../../acl/needs.ts'
import { boundOf } from '../../acl/scopes.ts'
import type { Changes, Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touchingAttributes } from './acting.ts'
import type { Call } from './call.ts'
import { clip, denied, type Gate, harmlessRights, isChange, missing, named } from './deciding.ts'
import { StorageError } from './errors.ts'
import { allowGlance } from './glancing.ts'
import { type Path, parentOf } from './path.ts'
import { look } from './reading.ts'
import type { AclView, StatOptions } from './storage.ts'
import type { Task } from './task.ts'

/** What the caller holds: the ACL's bits, and the actions that both halves allow. */
export interface HeldRights {
  readonly rights: Rights | 'unknown'
  readonly actions: readonly Action[]
}

const setUserId = 0o4000
const setGroupId = 0o2000

/** StorageOperations.setAttributes: each change needs its own right, all or nothing. */
export function setAttributes(gate: Gate, call: Call, path: Path, changes: Changes): Promise<Entry> {
  const wanted = actionsFor(changes)
  const [first = 'set-attributes'] = wanted
  return gate.perform(call, first, path, async (task) => {
    requireSense(changes, path)
    for (const action of wanted) {
      const decision = permitsPath(task.principal, action, path)
      if (!decision.allowed) throw denied(path, decision.reason)
    }
    const place = gate.place(task, first, path)
    gate.requireWritable(place)
    const { backend } = place.mount
    const entry = await gate.act(
      task,
      place,
      () => backend.setAttributes(place.inner, changes, task),
      ({ trail }) => {
        for (const action of wanted) {
          if (action !== 'set-owner') gate.allow(task, action, place, trail)
          else allowOwner(gate, task, changes, place, trail)
        }
        if (trail.entry) requireSafeMode(task, changes, place, trail.entry)
        else if (!backend.enforces(task.principal)) throw missing(path)
      },
      { touching: touchingAttributes(place) },
    )
    return named(place, entry)
  })
}

/** StorageOperations.getAcl */
export function getAcl(gate: Gate, call: Call, path: Path): Promise<AclView> {
  return gate.perform(call, 'read-acl', path, async (task) => {
    const entry = await fetched(gate, task, path)
    return viewOf(entry ?? (await look(gate, task, 'read-acl', path)), path)
  })
}

/**
 * Where the back end fetches the ACL with rights of its own: shown to those only whom the ACL itself gives READ_ACL,
 * as the storage would have it. Undefined where a look shows it, or nothing is there.
 */
async function fetched(gate: Gate, task: Task, path: Path): Promise<Entry | undefined> {
  const place = gate.place(task, 'read-acl', path)
  const { acls } = place.mount.backend
  const get = acls?.get?.bind(acls)
  if (!get) return undefined
  try {
    const entry = await gate.act(
      task,
      place,
      () => get(place.inner, task),
      ({ trail }) => gate.allow(task, 'read-acl', place, trail),
    )
    const decision = permitsTrail(task.principal, 'read-acl', { ancestors: [], parentExists: true, entry }, path)
    if (!decision.allowed) throw denied(path, decision.reason)
    return named(place, entry)
  } catch (error) {
    if (error instanceof StorageError && error.code === 'not-found') return undefined
    throw error
  }
}

/** StorageOperations.setAcl */
export function setAcl(
  gate: Gate,
  call: Call,
  path: Path,
  acl: Acl,
  options: { readonly ifChanged?: bigint },
): Promise<AclView> {
  return gate.perform(call, 'write-acl', path, async (task) => {
    if (acl.aces.length > maxAces) throw new StorageError('too-large', 'the ACL has too many entries', { path })
    const place = gate.place(task, 'write-acl', path)
    gate.requireWritable(place)
    const { backend } = place.mount
    const { acls } = backend
    if (!acls) throw new StorageError('unsupported', 'ACLs of this mount cannot be changed', { path })
    const entry = await gate.act(
      task,
      place,
      () => acls.set(place.inner, acl, options, task),
      ({ trail }) => {
        gate.allow(task, 'write-acl', place, trail)
        if (!trail.entry && !backend.enforces(task.principal)) throw missing(path)
        const { ifChanged } = options
        if (trail.entry && ifChanged !== undefined && trail.entry.changed !== ifChanged) {
          throw new StorageError('precondition', 'the object has changed', { path })
        }
      },
      { touching: touchingAttributes(place) },
    )
    return viewOf(named(place, entry), path)
  })
}

/** StorageOperations.rights. Whoever may not see the attributes is not told what else is closed, unless that is asked for. */
export function rights(gate: Gate, call: Call, path: Path, { closedToo }: StatOptions = {}): Promise<HeldRights> {
  return gate.perform(call, 'rights', path, async (task) => {
    const place = gate.place(task, 'stat', path)
    const { backend } = place.mount
    const trail = await gate.run(task, place, () => backend.walk(place.inner, task))
    if (closedToo) allowGlance(gate, task, place, trail)
    else gate.allow(task, 'stat', place, trail)
    if (!trail.entry && !task.namespace.leadsToMount(path)) throw missing(path)
    if (backend.enforces(task.principal)) return enforcedRights(gate, task, place, trail.entry?.type ?? 'directory')
    return decidedRights(task, place, trail)
  })
}

function decidedRights(task: Task, place: Place, trail: Trail): HeldRights {
  const seen = clip(place.mount, trail)
  return {
    rights: rightsOn(task.principal, seen, place.path) & (place.mount.readOnly ? harmlessRights : -1),
    actions: within(task, place).filter((action) => permitsTrail(task.principal, action, seen, place.path).allowed),
  }
}

/** Asked of the one who decides. Where that cannot be told, the actions are those within the credential's bounds. */
async function enforcedRights(gate: Gate, task: Task, place: Place, type: Entry['type']): Promise<HeldRights> {
  const { mount, path, inner } = place
  const held = await effective(gate, task, place, inner)
  const bounded = within(task, place)
  if (held === 'unknown') return { rights: held, actions: bounded }
  // The top of a mount has no parent here.
  const above = path === mount.at ? 0 : await effective(gate, task, place, parentOf(inner))
  const covers = (action: Action) =>
    needs[action].rights.some(
      ({ target = 0, parent }) =>
        (held & target) === target && (parent === undefined || above === 'unknown' || (above & parent) === parent),
    )
  const bound = boundOf(task.principal, path, type) & (mount.readOnly ? harmlessRights : -1)
  return { rights: held & bound, actions: bounded.filter(covers) }
}

async function effective(gate: Gate, task: Task, place: Place, inner: Path): Promise<Rights | 'unknown'> {
  const { rights } = place.mount.backend
  if (!rights) return 'unknown'
  return gate.run(task, place, () => rights.effective(inner, task), { admission: 'continues' })
}

/** The actions that the credential and the mount leave. */
function within(task: Task, { mount, path }: Place): Action[] {
  return actions.filter(
    (action) => permitsPath(task.principal, action, path).allowed && !(mount.readOnly && isChange(action)),
  )
}

/** The rights that the changes need, one action each. */
function actionsFor({ modified, accessed, mode, owner, group }: Changes): Action[] {
  const wanted: Action[] = []
  const times = [modified, accessed].filter((time) => time !== undefined)
  if (times.some((time) => time !== 'now')) wanted.push('set-attributes')
  else if (times.length > 0) wanted.push('set-times-now')
  if (mode !== undefined) wanted.push('set-mode')
  if (owner !== undefined || group !== undefined) wanted.push('set-owner')
  return wanted
}

function requireSense({ mode, ...changes }: Changes, path: Path): void {
  if (mode !== undefined && (!Number.isInteger(mode) || mode < 0 || mode > 0o7777)) {
    throw new StorageError('invalid', 'the mode has bits beyond the low twelve', { path })
  }
  if (mode === undefined && Object.values(changes).every((value) => value === undefined)) {
    throw new StorageError('invalid', 'nothing is to be changed', { path })
  }
}

/** Ownership is only taken, never given away. What stays as it is changes nobody's rights. */
function allowOwner(gate: Gate, task: Task, changes: Changes, place: Place, trail: Trail): void {
  const { owner, group } = trail.entry?.acl ?? {}
  const change = {
    owner: changes.owner === owner ? undefined : changes.owner,
    group: changes.group === group ? undefined : changes.group,
  }
  const same = change.owner === undefined && change.group === undefined
  gate.allowAs(task, same ? 'set-attributes' : 'set-owner', place, trail, (seen) =>
    same
      ? permitsTrail(task.principal, 'set-attributes', seen, place.path)
      : permitsOwner(task.principal, change, seen, place.path),
  )
}

/** In the grades where files belong to the gateway's account, none of them may run as that account. */
function requireSafeMode({ principal }: Task, { mode }: Changes, { mount, path }: Place, entry: Entry): void {
  if (mode === undefined || mount.backend.enforces(principal)) return
  const dangerous = entry.type === 'directory' ? setUserId : setUserId | setGroupId
  if ((mode & dangerous & ~(entry.mode ?? 0)) === 0) return
  throw denied(path, { rule: 'mode', text: 'set-id bits are not set here', path })
}

function viewOf(entry: Entry, path: Path): AclView {
  if (entry.acl) return { entry, acl: entry.acl }
  throw new StorageError('unsupported', 'the ACL cannot be shown', { path })
}
