/** effective: what everybody may do with one object, by one look at it. */

import type { Acl } from '../../acl/acl.ts'
import { pathOfAncestor, permitsTrail } from '../../acl/authorizer.ts'
import { explainTrail } from '../../acl/explain.ts'
import type { Action } from '../../acl/needs.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Mount, Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import { clip, denied, type Gate, isChange, missing } from './deciding.ts'
import { StorageError } from './errors.ts'
import { isFixed, needsObject } from './explaining.ts'
import { mayReadAcl, shownTo } from './explaining-shown.ts'
import type { Effective } from './operations.ts'
import { type Path, parentOf, rebase } from './path.ts'
import type { Task } from './task.ts'

/**
 * StorageOperations.effective: for administrators, and for who may read the ACL with a credential without bounds. Throws
 * `denied` to others, `unsupported` where there are no ACLs to go by.
 */
export function effective(gate: Gate, call: Call, action: Action, path: Path): Promise<Effective> {
  return gate.perform(call, 'effective', path, async (task) => {
    const { principal: asker } = task
    if (asker.grants !== 'unbounded' || asker.within !== undefined || asker.user === undefined) {
      throw denied(path, { rule: 'scope', text: 'a credential without bounds is needed to ask about others', path })
    }
    const place = gate.place(task, 'read-acl', path)
    if (place.mount.enforce === 'delegated') {
      throw new StorageError('unsupported', 'the storage decides here, and tells nobody what others may do', { path })
    }
    const looked = await look(gate, task, place)
    const enforces = place.mount.backend.enforces(asker)
    requireAsker(asker, action, looked, path, enforces)
    const seen = enforces ? await withAcls(gate, task, place, looked) : looked
    const { entry } = seen
    if (entry === undefined && (needsObject(action) || !seen.parentExists)) throw missing(path)
    const object = entry ?? seen.ancestors.at(-1)
    if (object?.acl === undefined || seen.ancestors.some(({ acl }) => acl === undefined)) {
      throw new StorageError('unsupported', 'not all ACLs can be read here', { path })
    }
    const fixed = isFixed(task, action, path)
    const judge = (subject: Principal) => judged(asker, subject, { action, path, seen, mount: place.mount, fixed })
    return {
      action,
      path,
      type: entry?.type,
      owner: object.acl.owner,
      group: object.acl.group,
      exact: !enforces,
      groups: groupsIn(asker, seen),
      anonymous: place.mount.anonymous && judge(anonymous).allowed,
      judge,
    }
  })
}

/** One look, with links decided upon as for every call; and the object's ACL, where the walk leaves it out. */
async function look(gate: Gate, task: Task, place: Place): Promise<Trail> {
  const { backend } = place.mount
  const trail = await gate.run(task, place, () => backend.walk(place.inner, task))
  const way = gate.permitsWay(task, 'read-acl', place, trail)
  if (!way.allowed) throw denied(place.path, way.reason)
  const seen = clip(place.mount, trail)
  const get = backend.acls?.get?.bind(backend.acls)
  if (!get || seen.entry === undefined || seen.entry.acl !== undefined) return seen
  return gate.run(
    task,
    place,
    async () => {
      const pending = await get(place.inner, task)
      try {
        return { ...seen, entry: await pending.proceed() }
      } finally {
        await pending.release()
      }
    },
    { admission: 'continues' },
  )
}

/** Where the storage decides, a walk shows the ACL of its object alone: each directory is looked at for itself. */
async function withAcls(gate: Gate, task: Task, place: Place, seen: Trail): Promise<Trail> {
  if (seen.resolved !== undefined || seen.ancestors.length > mostLooks) return seen
  const { mount } = place
  const ancestors: Entry[] = []
  for (const [index, directory] of seen.ancestors.entries()) {
    const path = pathOfAncestor(seen, index, place.path)
    if (directory.acl !== undefined || path === undefined) ancestors.push(directory)
    else {
      const walk = () => mount.backend.walk(rebase(path, mount.at, mount.base), task)
      const { entry = directory } = await gate.run(task, place, walk, { admission: 'continues' })
      ancestors.push(entry)
    }
  }
  return { ...seen, ancestors }
}

/** What the directory's ACL alone decides takes the right to read that one; all else, the object's. */
function requireAsker(asker: Principal, action: Action, seen: Trail, path: Path, enforces: boolean): void {
  if (asker.administrator === true) return
  const parent = seen.parentExists ? seen.ancestors.at(-1) : undefined
  // The storage has let the asker come this far.
  const require = (ancestors: readonly Entry[], entry: Entry | undefined, at: Path) => {
    const trail = { ...seen, ancestors: enforces ? [] : ancestors, entry }
    const decision = permitsTrail(asker, 'read-acl', trail, at)
    if (!decision.allowed) throw denied(path, decision.reason)
  }
  if (parent !== undefined && (seen.entry === undefined || !needsObject(action))) {
    require(seen.ancestors.slice(0, -1), parent, parentOf(path))
  }
  if (seen.entry !== undefined || parent === undefined) require(seen.ancestors, seen.entry, path)
}

interface Case {
  readonly action: Action
  readonly path: Path
  readonly seen: Trail
  readonly mount: Mount
  /** A place of the mount table. */
  readonly fixed: boolean
}

function judged(asker: Principal, subject: Principal, { action, path, seen, mount, fixed }: Case) {
  if (mount.readOnly && isChange(action)) {
    return { allowed: false, reason: { rule: 'read-only', text: 'the mount is read-only' } }
  }
  if (fixed) return { allowed: false, reason: { rule: 'mount-point', text: 'a mount point is there or below' } }
  const steps = explainTrail(subject, action, seen, path)
  const step = steps.find(({ allowed }) => allowed === false) ?? steps.at(-1)
  if (step === undefined) throw new StorageError('internal', 'nothing was decided')
  return { allowed: step.allowed === true, ...shownTo(asker, seen, path, step.reason) }
}

/** Directories that are looked at one by one. */
const mostLooks = 64

/** Groups in ACLs that the asker may read. */
function groupsIn(asker: Principal, { ancestors, entry }: Trail): readonly string[] {
  const names = new Set<string>()
  const add = ({ aces }: Acl) => {
    for (const { who } of aces) if (typeof who === 'object' && 'group' in who) names.add(who.group)
  }
  const all: readonly (Entry | undefined)[] = [...ancestors, entry]
  for (const object of all) if (object?.acl && mayRead(asker, object)) add(object.acl)
  return [...names].toSorted()
}

function mayRead(asker: Principal, object: Entry): boolean {
  // Without bounds of the credential the path does not matter.
  return mayReadAcl(asker, object, '/' as Path)
}
