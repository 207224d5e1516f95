/** What the gateway's answers look like, read with suspicion: a missing or strange member is `unavailable`. */

import type { Acl } from '../../acl/acl.ts'
import { aclFromJson } from '../../acl/codec/json.ts'
import { list, members, optional, strange, text, texts } from './members.ts'

const types = ['file', 'directory', 'symlink', 'other'] as const

/** An entry of a listing. What the caller may not see is absent. */
export interface RemoteEntry {
  readonly name: string
  readonly type: (typeof types)[number]
  /** Bytes. */
  readonly size?: number
  /** ISO 8601. */
  readonly modified?: string
  /** With its quotes, as conditions take it. */
  readonly etag?: string
  /** POSIX mode bits. */
  readonly mode?: number
  /** Of a symbolic link. */
  readonly target?: string
  readonly locality?: string
}

export interface RemoteGrant {
  readonly kind: string
  readonly path: string
  readonly directoryOnly: boolean
}

export interface Whoami {
  readonly id: string
  readonly user: string | undefined
  readonly groups: readonly string[]
  /** What the credential is good for, in the terms of the namespace. */
  readonly grants: readonly RemoteGrant[] | 'unbounded'
  readonly administrator: boolean
  /** ISO 8601. */
  readonly expires: string | undefined
  /** How the gateway came to that, where it was asked and tells. */
  readonly steps?: ReadonlyArray<{ readonly step: string; readonly passed: boolean; readonly text: string }>
}

export interface AclState {
  readonly acl: Acl
  /** For If-Match of the next change. */
  readonly etag: string | undefined
}

export interface RightsState {
  readonly type: RemoteEntry['type']
  /** Undefined when it cannot be told. */
  readonly names: readonly string[] | undefined
  readonly actions: readonly string[]
}

export function readEntry(value: unknown): RemoteEntry {
  const at = members(value)
  const type = types.find((one) => one === at.type)
  if (!type) throw strange('type')
  const { size, modified, etag, mode, target, locality } = at
  return {
    name: text(at.name, 'name'),
    type,
    ...(typeof size === 'number' && { size }),
    ...(typeof modified === 'string' && { modified }),
    ...(typeof etag === 'string' && { etag }),
    ...(typeof mode === 'number' && { mode }),
    ...(typeof target === 'string' && { target }),
    ...(typeof locality === 'string' && { locality }),
  }
}

export function readWhoami(value: unknown): Whoami {
  const at = members(value)
  return {
    id: text(at.id, 'id'),
    user: optional(at.user),
    groups: texts(at.groups, 'groups'),
    grants: at.grants === 'unbounded' ? 'unbounded' : list(at.grants, 'grants').map(readGrant),
    administrator: at.administrator === true,
    expires: optional(at.expires),
    ...(at.steps !== undefined && { steps: list(at.steps, 'steps').map(readWay) }),
  }
}

function readWay(value: unknown): NonNullable<Whoami['steps']>[number] {
  const { step, passed, text: said } = members(value)
  return { step: text(step, 'step'), passed: passed === true, text: text(said, 'text') }
}

export interface LockInfo {
  readonly token: string
  readonly path: string
  readonly scope: string
  readonly depth: string
  /** Who holds it. */
  readonly user: string | undefined
  /** Seconds that are left. */
  readonly timeout: number
  /** RFC 3339. */
  readonly created: string
}

export function readLocks(value: unknown): readonly LockInfo[] {
  return list(members(value).locks, 'locks').map((one) => {
    const at = members(one)
    return {
      token: text(at.token, 'token'),
      path: text(at.path, 'path'),
      scope: text(at.scope, 'scope'),
      depth: text(at.depth, 'depth'),
      user: optional(at.user),
      timeout: Number(at.timeout),
      created: text(at.created, 'created'),
    }
  })
}

/** Where a program gets a token that the gateway takes. */
export interface LoginOption {
  readonly issuer: string
  /** Short, for people. */
  readonly name: string
  readonly clientId: string
  readonly scopes: readonly string[]
}

export function readLoginOptions(value: unknown): readonly LoginOption[] {
  return list(members(value).issuers, 'issuers').map((one) => {
    const { issuer, name, clientId, scopes } = members(one)
    return {
      issuer: text(issuer, 'issuer'),
      name: text(name, 'name'),
      clientId: text(clientId, 'clientId'),
      scopes: texts(scopes, 'scopes'),
    }
  })
}

export interface MountInfo {
  readonly path: string
  readonly note: string | undefined
  readonly readOnly: boolean
  /** Files may be on tape: whether a read brings them back. */
  readonly tape: string | undefined
  readonly versions: boolean
}

export function readMounts(value: unknown): readonly MountInfo[] {
  return list(members(value).mounts, 'mounts').map((one) => {
    const at = members(one)
    return {
      path: text(at.path, 'path'),
      note: optional(at.note),
      readOnly: at.readOnly === true,
      tape: optional(at.tape),
      versions: at.versions === true,
    }
  })
}

export function readAclState(value: unknown, etag: string | undefined): AclState {
  try {
    return { acl: aclFromJson(value), etag }
  } catch (cause) {
    throw strange('ACL', cause)
  }
}

export function readRights(value: unknown): RightsState {
  const at = members(value)
  const type = types.find((one) => one === at.type)
  if (!type) throw strange('type')
  return {
    type,
    names: Array.isArray(at.names) ? texts(at.names, 'names') : undefined,
    actions: texts(at.actions, 'actions'),
  }
}

/** The word of the gateway about itself, such as "ok". */
export function readHealth(value: unknown): string {
  return text(members(value).status, 'status')
}

function readGrant(value: unknown): RemoteGrant {
  const at = members(value)
  return { kind: text(at.kind, 'kind'), path: text(at.path, 'path'), directoryOnly: at.directoryOnly === true }
}
