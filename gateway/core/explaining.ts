/**
 * explain: what would be answered, and why, in the order of the checks.
 *
 * Below the first closed directory it says which directory is closed and nothing else. Which entry of which ACL decided
 * is told only to whoever may read that ACL, or is an administrator. For callers without a credential no storage is
 * asked: they are told what the mount table says.
 */

import type { Acl } from '../../acl/acl.ts'
import { pathOfAncestor, permitsPath } from '../../acl/authorizer.ts'
import { isOwner } from '../../acl/evaluate.ts'
import { explainTrail } from '../../acl/explain.ts'
import { type Action, needs } from '../../acl/needs.ts'
import { ownId, type Principal } from '../../acl/principal.ts'
import { coveringGrant } from '../../acl/scopes.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Enforcement, Place } from '../../mounts/namespace.ts'
import { adviceOn } from './advising.ts'
import type { Call } from './call.ts'
import { admitsAnonymous, clip, denied, type Gate, isChange, permitsObject } from './deciding.ts'
import { type Reason, StorageError } from './errors.ts'
import { lastOnTheWay, type Shown, settled, wordOf } from './explaining-elsewhere.ts'
import { ownerFor, placeOf, shownTo, shownWay } from './explaining-shown.ts'
import type { ExplainedStep, Explanation } from './operations.ts'
import { type Path, parentOf } from './path.ts'
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
    if (!own) task.about = subject.user ?? subject.id
    if (!own && !call.principal.administrator) {
      throw denied(path, { rule: 'administrator', text: 'only an administrator may ask about others' })
    }
    return new Inquiry(gate, task, { action, path, subject, asker: call.principal }).run()
  })
}

interface Question {
  readonly action: Action
  readonly path: Path
  readonly subject: Principal
  readonly asker: Principal
}

type Verdict = ExplainedStep['allowed']

const deciders: Readonly<Record<Enforcement, string>> = {
  native: 'decided by the kernel, as the user',
  gateway: 'decided by the gateway, by the ACLs',
  delegated: 'decided by the storage itself, by the credential of the caller',
}

const checks = ['credential', 'scope', 'mount', 'traverse', 'acl', 'back end'] as const

class Inquiry {
  readonly #gate: Gate
  readonly #task: Task
  readonly #action: Action
  readonly #path: Path
  readonly #subject: Principal
  readonly #asker: Principal
  readonly #steps: ExplainedStep[] = []
  /** What the storage has shown. */
  #trail: Trail | undefined

  constructor(gate: Gate, task: Task, { action, path, subject, asker }: Question) {
    this.#gate = gate
    this.#task = task
    this.#action = action
    this.#path = path
    this.#subject = subject
    this.#asker = asker
  }

  async run(): Promise<Explanation> {
    const place = this.#task.namespace.resolve(this.#path)
    const goesOn = this.#credential(place) && this.#scope() && this.#mount(place)
    const allowed = goesOn ? await this.#storage(place) : false
    this.#fill()
    const { user, macaroon } = this.#subject
    // Whoever was handed a link need not learn what groups its maker is in.
    const groups = macaroon === undefined ? [...this.#subject.groups] : []
    const advice = this.#advice(allowed)
    return {
      principal: { id: ownId(this.#subject), user, groups },
      action: this.#action,
      path: this.#path,
      allowed,
      steps: this.#steps,
      ...(advice !== undefined && { advice }),
    }
  }

  #credential(place: Place): boolean {
    const { user, id, expires, addresses } = this.#subject
    if (expires !== undefined && expires * 1000 <= Date.now()) {
      return this.#say('credential', false, { rule: 'token-expired', text: 'the credential has expired' })
    }
    if (addresses?.includes(this.#task.from) === false) {
      const text = 'the credential is for other addresses than the caller has'
      return this.#say('credential', false, { rule: 'address', text })
    }
    if (user !== undefined) return this.#say('credential', true, { rule: 'mapping', text: `${id} is ${user}` })
    const open = admitsAnonymous(this.#task.namespace, place)
    const text = open ? 'this part admits callers without a credential' : 'a credential is needed here'
    return this.#say('credential', open, { rule: 'anonymous', text })
  }

  #scope(): boolean {
    const decision = permitsPath(this.#subject, this.#action, this.#path)
    if (!decision.allowed) return this.#say('scope', false, decision.reason)
    const bounded = this.#subject.grants !== 'unbounded' || this.#subject.within !== undefined
    const grant = coveringGrant(this.#subject, this.#action, this.#path)
    const bounds = grant === undefined ? 'the bounds of the credential cover the path' : `${grant} covers the path`
    const text = bounded ? bounds : 'the credential has no bounds of its own'
    return this.#say('scope', true, decision.reason ?? { rule: 'scope', text })
  }

  #mount({ mount, path }: Place): boolean {
    const changes = isChange(this.#action)
    const between = mount === this.#task.namespace.between
    const where = between ? 'a directory between mounts' : `mounted at ${mount.at}, ${deciders[mount.enforce]}`
    const closed = mount.readOnly && changes
    const text = closed ? `${where}, read-only` : where
    if (!closed && isFixed(this.#task, this.#action, this.#path)) {
      return this.#say('mount', false, { rule: 'mount-point', text: 'a mount point is there or below', path })
    }
    return this.#say('mount', !closed, { rule: closed ? 'read-only' : 'mount', text, path })
  }

  async #storage(place: Place): Promise<Explanation['allowed']> {
    const { backend, enforce } = place.mount
    if (this.#asker.user === undefined) return this.#unasked()
    if (enforce === 'delegated' && this.#subject !== this.#asker && !this.#subject.credential) return this.#absent()
    // The back end is asked as the subject: what it shows and hides is what the subject would meet.
    const asked = new Task(
      { ...callOf(this.#task), principal: this.#subject },
      'stat',
      this.#path,
      this.#task.namespace,
    )
    try {
      return await this.#looked(place, asked)
    } catch (thrown) {
      return this.#unanswered(StorageError.from(thrown), backend.enforces(asked.principal))
    } finally {
      asked.detach()
    }
  }

  async #looked(place: Place, asked: Task): Promise<Explanation['allowed']> {
    const { backend } = place.mount
    const enforces = backend.enforces(asked.principal)
    let trail: Trail
    try {
      trail = await this.#gate.run(asked, place, () => backend.walk(place.inner, asked))
    } catch (thrown) {
      const isRefused = settled.has(StorageError.from(thrown).code)
      if (isRefused && !enforces && (await this.#hidden(place, asked))) return false
      const isClosed = enforces && place.mount.enforce === 'native' && StorageError.from(thrown).code === 'denied'
      if (isClosed && (await this.#closed(place, asked))) return false
      throw thrown
    }
    const way = this.#gate.permitsWay(asked, this.#action, place, trail)
    if (!way.allowed) {
      if (!enforces && (await this.#hidden(place, asked))) return false
      return this.#say('traverse', false, way.reason)
    }
    if (trail.resolved !== undefined && !enforces && !this.#passes(place, trail)) {
      if (await this.#hidden(place, asked)) return false
    }
    this.#trail = clip(place.mount, trail)
    return enforces ? this.#enforced(place, asked, this.#trail) : this.#decided(place, this.#trail)
  }

  #decided(place: Place, trail: Trail): boolean {
    const directories = shownWay(this.#asker, this.#subject, trail, this.#path)
    const strange = ofBytes.has(this.#action) ? notPlain(trail.entry) : undefined
    for (const step of explainTrail(this.#subject, this.#action, trail, this.#path)) {
      // What the list of a link says of bytes that it has not is of no account.
      const isOfLink = step.check === 'acl' && step.allowed === false && strange?.rule === 'symlink'
      if (isOfLink) return this.#say('acl', false, { ...strange, path: place.path })
      const shown = shownTo(this.#asker, trail, this.#path, step.reason)
      this.#steps.push({ ...step, ...shown, ...(step.check === 'traverse' && { directories }) })
      if (step.allowed === false) return false
    }
    const missing = !trail.entry && needsObject(this.#action)
    if (missing && !this.#task.namespace.leadsToMount(this.#path)) return this.#nothing(place)
    if (strange !== undefined) return this.#say('back end', false, { ...strange, path: place.path })
    return this.#say('back end', true, { rule: 'back-end', text: 'nothing more is decided there' })
  }

  async #enforced(place: Place, asked: Task, trail: Trail): Promise<Explanation['allowed']> {
    const rule = place.mount.enforce
    const elsewhere: Reason = { rule, text: 'the storage decides as the caller' }
    const isNative = rule === 'native'
    const directories = isNative ? this.#passed(trail) : {}
    this.#steps.push({ check: 'traverse', allowed: 'decided elsewhere', reason: elsewhere, ...directories })
    const bound = permitsObject(this.#subject, this.#action, this.#path, trail.entry)
    if (!bound.allowed) return this.#say('acl', false, bound.reason)
    const looked = trail.entry !== undefined || trail.ancestors.length === 0
    if (!looked && needsObject(this.#action)) {
      this.#say('acl', 'decided elsewhere', elsewhere)
      return this.#nothing(place)
    }
    const word = await wordOf(this.#gate, asked, place, trail, this.#action)
    this.#likely(trail, word.allowed, elsewhere)
    const { text, path } = word
    this.#say('back end', word.allowed === 'unknown' ? 'decided elsewhere' : word.allowed, { rule, text, path })
    return word.allowed
  }

  /** Where the list that the storage shows agrees with its word, the entry that it most likely went by. */
  #likely(trail: Trail, allowed: Explanation['allowed'], elsewhere: Reason): void {
    const step = explainTrail(this.#subject, this.#action, trail, this.#path).find(({ check }) => check === 'acl')
    const agrees = step !== undefined && step.allowed === allowed
    const { reason, entry } = agrees ? shownTo(this.#asker, trail, this.#path, step.reason) : { reason: elsewhere }
    const told = entry === undefined ? elsewhere : { ...reason, text: `the storage decides; ${reason.text}` }
    this.#steps.push({ check: 'acl', allowed: 'decided elsewhere', reason: told, ...(entry && { entry }) })
  }

  /** All directories of a way that was walked as the caller. */
  #passed(trail: Trail): Pick<ExplainedStep, 'directories'> {
    if (trail.resolved !== undefined) return {}
    const directories = trail.ancestors.flatMap((_, index) => {
      const path = pathOfAncestor(trail, index, this.#path)
      const reason = { rule: 'native', text: 'the kernel lets this user through' }
      return path === undefined ? [] : [{ path, allowed: true, reason: { ...reason, path } }]
    })
    return { directories }
  }

  async #closed(place: Place, asked: Task): Promise<boolean> {
    const closed = await lastOnTheWay(this.#gate, asked, place)
    if (closed === undefined) return false
    const { path, trail } = closed
    this.#trail = {
      ancestors: trail.entry ? [...clip(place.mount, trail).ancestors, trail.entry] : [],
      parentExists: path === parentOf(this.#path),
      entry: undefined,
    }
    const text = 'a directory on the way is closed: the kernel does not let this user through'
    return !this.#say('traverse', false, { rule: 'traverse', text, path })
  }

  /**
   * What a look as the gateway itself fails at may lie below a directory that is closed to the subject: then that one is
   * told, and nothing of what is there.
   */
  async #hidden(place: Place, asked: Task): Promise<boolean> {
    const isOpen = (path: Path, trail: Trail) => this.#gate.permitsWay(asked, 'stat', { ...place, path }, trail).allowed
    const isPlain = (_: Path, { resolved }: Trail) => resolved === undefined
    // Before the first link the names of the way are those of the path, whatever is behind it.
    for (const isShown of [isPlain, isOpen]) {
      const last = await lastOnTheWay(this.#gate, asked, place, isShown)
      if (last !== undefined && this.#shut(place, last)) return true
    }
    return false
  }

  #passes(place: Place, trail: Trail): boolean {
    return explainTrail(this.#subject, this.#action, clip(place.mount, trail), this.#path)[0]?.allowed === true
  }

  /** Whether a directory up to that place is closed; then that is said. */
  #shut(place: Place, last: Shown): boolean {
    const { ancestors, entry, resolved } = clip(place.mount, last.trail)
    const passes = entry?.type === 'directory'
    const trail: Trail = {
      ancestors: passes ? [...ancestors, entry] : ancestors,
      parentExists: passes && last.path === parentOf(this.#path),
      entry: undefined,
      ...(resolved !== undefined && { resolved }),
    }
    const [way] = explainTrail(this.#subject, this.#action, trail, this.#path)
    if (way?.allowed !== false) return false
    this.#trail = trail
    const directories = shownWay(this.#asker, this.#subject, trail, this.#path)
    this.#steps.push({ ...way, ...shownTo(this.#asker, trail, this.#path, way.reason), directories })
    return true
  }

  /** Nobody can have the storage asked without saying who he is. */
  #unasked(): 'unknown' {
    const reason = { rule: 'anonymous', text: 'the storage is not asked for callers without a credential' }
    for (const check of ['traverse', 'acl', 'back end'] as const) this.#say(check, 'not reached', reason)
    return 'unknown'
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

  #nothing({ path }: Place): false {
    this.#say('back end', false, { rule: 'not-found', text: 'there is nothing of this name', path })
    return false
  }

  #advice(allowed: Explanation['allowed']): string | undefined {
    const failed = this.#steps.find((step) => step.allowed === false)
    const path = failed?.reason.path ?? this.#path
    const trail = this.#trail
    // A closed directory behind a link goes by no path of ours, and what is below it has no owner here.
    const isElsewhere = failed?.check === 'traverse' && failed.reason.path === undefined
    const place = trail === undefined || isElsewhere ? -1 : placeOf(trail, this.#path, path)
    const object = place < 0 ? undefined : (trail?.ancestors[place] ?? trail?.entry)
    const owner = ownerFor(this.#asker, object, path)
    return adviceOn({
      action: this.#action,
      path: this.#path,
      subject: this.#subject,
      own: this.#subject === this.#asker,
      allowed,
      steps: this.#steps,
      owner,
      owns: owner !== undefined && object?.acl !== undefined && this.#isOwner(object.acl),
      onTape: trail?.entry?.locality === 'tape',
    })
  }

  /** Whoever was handed a link or macaroon is not its maker. */
  #isOwner(acl: Acl): boolean {
    return this.#subject.macaroon === undefined && isOwner(acl, this.#subject)
  }

  #say(check: ExplainedStep['check'], verdict: Verdict, reason: Reason): boolean {
    this.#steps.push({ check, allowed: verdict, reason })
    return verdict === true
  }

  /** What was not asked any more. */
  #fill(): void {
    const said = new Set(this.#steps.map(({ check }) => check))
    for (const check of checks) {
      if (said.has(check)) continue
      const reason = { rule: 'not-reached', text: 'an earlier check has decided' }
      this.#steps.push({ check, allowed: 'not reached', reason })
    }
  }
}

/** Actions on the bytes of a file: links are not followed for them, and devices have none. */
const ofBytes: ReadonlySet<Action> = new Set<Action>(['read', 'replace', 'edit', 'stage'])

function notPlain(entry: Entry | undefined): Reason | undefined {
  if (entry?.type === 'symlink') return { rule: 'symlink', text: 'links are not followed here' }
  return entry?.type === 'other' ? { rule: 'special-file', text: 'not a file or directory' } : undefined
}

/** Whether the action would take away a place of the mount table (Gate.requireMovable). */
export function isFixed({ namespace }: Task, action: Action, path: Path): boolean {
  if (action !== 'remove' && action !== 'move-away') return false
  return namespace.isMountPoint(path) || namespace.leadsToMount(path)
}

/** Whether the action is about something that must be there. */
export function needsObject(action: Action): boolean {
  return needs[action].rights.some(({ target }) => target !== undefined)
}

function callOf({ id, protocol, from, principal, signal }: Task): Call {
  return { id, protocol, from, principal, signal }
}
