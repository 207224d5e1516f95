/** Answers about rights, read with suspicion. */

import type { Action } from '../../acl/needs.ts'
import type { Path } from '../../gateway/core/path.ts'
import { list, members, optional, strange, text, texts } from './members.ts'

export interface RemoteReason {
  readonly rule: string
  readonly text: string
  readonly path?: string
  /** Index of the deciding entry in the ACL of `path`, from 0. */
  readonly ace?: number
}

export interface ExplainedDirectory {
  readonly path: string
  readonly allowed: boolean
  readonly reason: RemoteReason
  readonly entry?: RemoteEntry
}

/** The entry that decided, for who may read its ACL. */
export interface RemoteEntry {
  readonly path: string
  /** From 0. */
  readonly index: number
  /** As nfs4_getfacl writes it. */
  readonly text: string
  readonly inherited: boolean
  /** The directory that handed it down. */
  readonly from?: string
}

export interface ExplainedStep {
  readonly check: string
  readonly allowed: boolean | string
  readonly reason: RemoteReason
  /** On the way. */
  readonly directories: readonly ExplainedDirectory[]
  readonly entry?: RemoteEntry
}

/** One step from a credential to an account. */
export interface IdentityStep {
  readonly step: string
  readonly passed: boolean
  readonly text: string
}

export interface Explained {
  readonly principal: {
    readonly id: string
    readonly user: string | undefined
    readonly groups: readonly string[]
  }
  readonly identity: readonly IdentityStep[]
  readonly action: string
  readonly path: string
  readonly allowed: boolean | string
  readonly steps: readonly ExplainedStep[]
  readonly advice: string | undefined
}

export interface EffectiveRow extends RemoteReason {
  readonly user: string
  readonly allowed: boolean
}

/** Who may do something. */
export interface RemoteEffective {
  readonly path: string
  readonly action: string
  readonly owner: string | undefined
  readonly group: string | undefined
  readonly exact: boolean
  readonly anonymous: boolean
  readonly lookedAt: number
  readonly complete: boolean
  readonly users: readonly EffectiveRow[]
  /** What the answer leaves open. */
  readonly notes: readonly string[]
}

export interface Questions {
  /** `user` other than the caller takes an administrator. */
  explain(action: Action, path: Path, user?: string): Promise<Explained>
  /** `all`: also users who may not. */
  effective(action: Action, path: Path, all: boolean): Promise<RemoteEffective>
}

export function questionsOver(
  ask: (name: string, query: Readonly<Record<string, string>>) => Promise<unknown>,
): Questions {
  return {
    explain: async (action, path, user) =>
      readExplained(await ask('explain', { action, path, ...(user !== undefined && { user }) })),
    effective: async (action, path, all) =>
      readEffective(await ask('acl/effective', { action, path, ...(all && { all: 'true' }) })),
  }
}

function readExplained(value: unknown): Explained {
  const at = members(value)
  const principal = members(at.principal)
  return {
    principal: {
      id: text(principal.id, 'id'),
      user: optional(principal.user),
      groups: texts(principal.groups, 'groups'),
    },
    identity: at.identity === undefined ? [] : list(at.identity, 'identity').map(readIdentityStep),
    action: text(at.action, 'action'),
    path: text(at.path, 'path'),
    allowed: verdict(at.allowed),
    steps: list(at.steps, 'steps').map(readStep),
    advice: optional(at.advice),
  }
}

function readIdentityStep(value: unknown): IdentityStep {
  const at = members(value)
  return { step: text(at.step, 'step'), passed: at.passed === true, text: text(at.text, 'text') }
}

function readStep(value: unknown): ExplainedStep {
  const at = members(value)
  const directories = at.directories === undefined ? [] : list(at.directories, 'directories')
  return {
    check: text(at.check, 'check'),
    allowed: verdict(at.allowed),
    reason: readReason(at.reason),
    directories: directories.map((one) => {
      const { path, allowed, reason, entry } = members(one)
      return { path: text(path, 'path'), allowed: allowed === true, reason: readReason(reason), ...readEntry(entry) }
    }),
    ...readEntry(at.entry),
  }
}

function readEntry(value: unknown): { readonly entry?: RemoteEntry } {
  if (value === undefined) return {}
  const { path, index, text: said, inherited, from } = members(value)
  if (typeof index !== 'number') throw strange('index')
  const entry = { path: text(path, 'path'), index, text: text(said, 'text'), inherited: inherited === true }
  return { entry: { ...entry, ...(typeof from === 'string' && { from }) } }
}

function readReason(value: unknown): RemoteReason {
  const { rule, text: said, path, ace } = members(value)
  return {
    rule: text(rule, 'rule'),
    text: text(said, 'text'),
    ...(typeof path === 'string' && { path }),
    ...(typeof ace === 'number' && { ace }),
  }
}

function readEffective(value: unknown): RemoteEffective {
  const at = members(value)
  if (typeof at.lookedAt !== 'number') throw strange('lookedAt')
  return {
    path: text(at.path, 'path'),
    action: text(at.action, 'action'),
    owner: optional(at.owner),
    group: optional(at.group),
    exact: at.exact === true,
    anonymous: at.anonymous === true,
    lookedAt: at.lookedAt,
    complete: at.complete === true,
    users: list(at.users, 'users').map((one) => {
      const row = members(one)
      return { user: text(row.user, 'user'), allowed: row.allowed === true, ...readReason(row) }
    }),
    notes: texts(at.notes, 'notes'),
  }
}

function verdict(value: unknown): boolean | string {
  return typeof value === 'boolean' ? value : text(value, 'allowed')
}
