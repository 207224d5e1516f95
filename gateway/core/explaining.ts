/**
 * explain: what would be answered, and why, in the order of the checks.
 *
 * Below the first closed directory it says which directory is closed and nothing else. Who decided, and by
 * which entry of which ACL, is told only to whoever holds READ_ACL there, or is an administrator.
 */

import { right } from '../../acl/acl.ts'
import { decideEntry, pathOfAncestor, permitsPath } from '../../acl/authorizer.ts'
import { aceText, explainTrail, withoutAce } from '../../acl/explain.ts'
import { type Action, needs } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Enforcement, Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import { admitsAnonymous, clip, denied, type Gate, isChange, permitsObject } from './deciding.ts'
import { type Reason, StorageError } from './errors.ts'
import { type Path, parentOf } from './path.ts'
import type { ExplainedStep, Explanation } from './storage.ts'
import { Task } from './task.ts'

/** StorageOperations.explain */
export function explain(
  gate: Gate,
  call: Call,
  action: Action,
  path: Path,
  subject: Principal = call.principal,
): Promise<Explanation> {
  return gate.perform(call, 'explain', path, async (task) => {
    const own = subject === call.principal
    if (!own && !call.principal.administrator) {
      throw denied(path, { rule: 'administrator', text: 'only an administrator may ask about others' })
    }
    const { steps, allowed } = await new Inquiry(gate, task, action, path, subject, call.principal).run()
    const { id, user, groups } = subject
    return { principal: { id, user, groups: [...groups] }, action, path, allowed, steps }
  })
}

type Verdict = ExplainedStep['allowed']

const deciders: Readonly<Record<Enforcement, string>> = {
  native: 'native',
  gateway: 'gateway',
  delegated: 'the storage itself, by the credential of the caller',
}

class Inquiry {
  readonly #gate: Gate
  readonly #task: Task
  readonly #action: Action
  readonly #path: Path
  readonly #subject: Principal
  readonly #asker: Principal
  readonly #steps: ExplainedStep[] = []

  constructor(gate: Gate, task: Task, action: Action, path: Path, subject: Principal, asker: Principal) {
    this.#gate = gate
    this.#task = task
    this.#action = action
    this.#path = path
    this.#subject = subject
    this.#asker = asker
  }

  async run(): Promise<{ readonly steps: readonly ExplainedStep[]; readonly allowed: Explanation['allowed'] }> {
    const place = this.#task.namespace.resolve(this.#path)
    const goesOn = this.#credential(place) && this.#scope() && this.#mount(place)
    const allowed = goesOn ? await this.#storage(place) : false
    this.#fill()
    return { steps: this.#steps, allowed }
  }

  #credential(place: Place): boolean {
    const { user, id, expires } = this.#subject
    if (expires !== undefined && expires * 1000 <= Date.now()) {
      return this.#say('credential', false, { rule: 'token-expired', text: 'the credential has expired' })
    }
    if (user !== undefined) return this.#say('credential', true, { rule: 'mapping', text: `${id} is ${user}` })
    const open = admitsAnonymous(this.#task.namespace, place)
    const text = open ? 'this part admits callers without a credential' : 'a credential is needed here'
    return this.#say('credential', open, { rule: 'anonymous', text })
  }

  #scope(): boolean {
    const decision = permitsPath(this.#subject, this.#action, this.#path)
    if (!decision.allowed) return this.#say('scope', false, decision.reason)
    const bounded = this.#subject.grants !== 'unbounded'
    const text = bounded ? 'a scope of the credential covers the path' : 'the credential has no bounds of its own'
    return this.#say('scope', true, decision.reason ?? { rule: 'scope', text })
  }

  #mount({ mount, path }: Place): boolean {
    const changes = isChange(this.#action)
    const between = mount === this.#task.namespace.between
    const where = between
      ? 'a directory between mounts'
      : `mounted at ${mount.at}, decided by ${deciders[mount.enforce]}`
    const closed = mount.readOnly && changes
    const text = closed ? `${where}, read-only` : where
    return this.#say('mount', !closed, { rule: closed ? 'read-only' : 'mount', text, path })
  }

  async #storage(place: Place): Promise<Explanation['allowed']> {
    const { backend, enforce } = place.mount
    if (enforce === 'delegated' && this.#subject !== this.#asker && !this.#subject.credential) return this.#absent()
    // The back end is asked as the subject: what it shows and hides is what the subject would meet.
    const asked = new Task(
      { ...callOf(this.#task), principal: this.#subject },
      'stat',
      this.#path,
      this.#task.namespace,
    )
    try {
      const trail = await this.#gate.run(asked, place, () => backend.walk(place.inner, asked))
      const way = this.#gate.permitsWay(asked, this.#action, place, trail)
      if (!way.allowed) return this.#say('traverse', false, way.reason)
      if (backend.enforces(asked.principal)) return this.#enforced(place, trail)
      return this.#decided(place, clip(place.mount, trail))
    } catch (thrown) {
      return this.#unanswered(StorageError.from(thrown), backend.enforces(asked.principal))
    } finally {
      asked.detach()
    }
  }

  #decided(place: Place, trail: Trail): boolean {
    for (const step of explainTrail(this.#subject, this.#action, trail, this.#path)) {
      const reason = this.#shown(trail, step.reason)
      this.#steps.push({ ...step, reason })
      if (step.allowed === false) return false
    }
    const missing = !trail.entry && needsObject(this.#action)
    if (missing && !this.#task.namespace.leadsToMount(this.#path)) {
      return this.#say('back end', false, {
        rule: 'not-found',
        text: 'there is nothing of this name',
        path: place.path,
      })
    }
    return this.#say('back end', true, { rule: 'back-end', text: 'nothing more is decided there' })
  }

  #enforced({ mount }: Place, trail: Trail): 'unknown' | false {
    const rule = mount.enforce
    const text = 'the storage decides as the caller'
    this.#say('traverse', 'decided elsewhere', { rule, text })
    const bound = permitsObject(this.#subject, this.#action, this.#path, trail.entry)
    if (!bound.allowed) {
      this.#say('acl', false, bound.reason)
      return false
    }
    this.#say('acl', 'decided elsewhere', { rule, text })
    if (trail.entry || trail.ancestors.length === 0) {
      this.#say('back end', 'decided elsewhere', { rule, text: 'a look at the path was not refused' })
      return 'unknown'
    }
    this.#say('back end', false, { rule: 'not-found', text: 'there is nothing of this name' })
    return needsObject(this.#action) ? false : 'unknown'
  }

  /** The storage decides by what a caller brings, and nobody else's credential may stand in for it. */
  #absent(): 'unknown' {
    const text = 'the storage decides by the credential that a caller brings, and none of this one is at hand'
    for (const check of ['traverse', 'acl', 'back end'] as const) {
      this.#say(check, 'decided elsewhere', { rule: 'delegated', text })
    }
    return 'unknown'
  }

  #unanswered(error: StorageError, enforces: boolean): 'unknown' | false {
    const refused = enforces && (error.code === 'denied' || error.code === 'not-found')
    const told = { rule: error.code, text: refused ? `the storage says ${error.code}` : error.message }
    const { rule, text } = StorageError.reasonOf(error) ?? told
    this.#say('back end', refused ? false : 'decided elsewhere', { rule, text })
    return refused ? false : 'unknown'
  }

  /** The entry of the ACL, as far as the asker may know it. */
  #shown(trail: Trail, reason: Reason): Reason {
    if (reason.ace === undefined) return reason
    const object = objectAt(trail, this.#path, reason.path ?? this.#path)
    const ace = object?.acl?.aces[reason.ace]
    if (!object || !ace || !this.#mayReadAcl(object)) return withoutAce(reason)
    return { ...reason, text: `${reason.text}: ${aceText(ace)}` }
  }

  #mayReadAcl(object: Entry): boolean {
    return this.#asker.administrator === true || decideEntry(object, this.#asker, right.readAcl).outcome === 'allowed'
  }

  #say(check: ExplainedStep['check'], verdict: Verdict, reason: Reason): boolean {
    this.#steps.push({ check, allowed: verdict, reason })
    return verdict === true
  }

  /** What was not asked any more. */
  #fill(): void {
    const said = new Set(this.#steps.map(({ check }) => check))
    for (const check of ['credential', 'scope', 'mount', 'traverse', 'acl', 'back end'] as const) {
      if (said.has(check)) continue
      const reason = { rule: 'not-reached', text: 'an earlier check has decided' }
      this.#steps.push({ check, allowed: 'not reached', reason })
    }
  }
}

/** Whether the action is about something that must be there. */
function needsObject(action: Action): boolean {
  return needs[action].rights.some(({ target }) => target !== undefined)
}

/** What a reason speaks about: the object, its parent, or another directory on the way. */
function objectAt(trail: Trail, path: Path, at: Path): Entry | undefined {
  if (at === path) return trail.entry
  if (at === parentOf(path)) return trail.ancestors.at(-1)
  return trail.ancestors.find((_, index) => pathOfAncestor(trail, index, path) === at)
}

function callOf({ id, protocol, from, principal, signal }: Task): Call {
  return { id, protocol, from, principal, signal }
}
