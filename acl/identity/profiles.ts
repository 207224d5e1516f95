/**
 * What a token's claims allow, by profile: WLCG (section 2.2), SciTokens (Claims 1.0 and 2.0), plain.
 *
 * A token with any capability is bounded by its capabilities alone and its groups are ignored, also
 * when none of the capabilities concerns storage (WLCG profile, section 2.2.3).
 */

import { type Path, root } from '../../gateway/core/path.ts'
import { type JsonObject, member } from '../json.ts'
import type { Grant, GrantKind } from '../principal.ts'
import { maxGroups, maxNameLength, maxScopes } from './limits.ts'
import type { IssuerOptions } from './options.ts'
import { quoted, refuse } from './refusal.ts'
import { scopePath } from './scope-path.ts'

export interface Permissions {
  readonly grants: readonly Grant[] | 'unbounded'
  /** As the token writes them; none beside capabilities. */
  readonly groups: readonly string[]
}

/** Throws `unauthenticated` for a token that its profile calls invalid. */
export function readPermissions(payload: JsonObject, issuer: IssuerOptions): Permissions {
  switch (issuer.profile) {
    case 'wlcg':
      return readWlcg(payload, issuer.basePath ?? root)
    case 'scitokens':
      return readSciToken(payload, issuer.basePath ?? root)
    case 'plain':
      return readPlain(payload, issuer)
  }
}

const wlcgKinds: Readonly<Record<string, GrantKind>> = {
  'storage.read': 'read',
  'storage.create': 'create',
  'storage.modify': 'modify',
  'storage.stage': 'stage',
  'storage.poll': 'poll',
}

const wlcgGroup = /^(?:\/[a-zA-Z0-9][a-zA-Z0-9_.-]*)+$/

function readWlcg(payload: JsonObject, basePath: Path): Permissions {
  const version = member(payload, 'wlcg.ver')
  if (typeof version !== 'string' || !/^1\.\d{1,4}$/.test(version)) {
    throw refuse('token-profile', `wlcg.ver ${quoted(version)} is not of version 1`)
  }
  const scopes = readScopes(payload)
  const groups = readGroups(payload, 'wlcg.groups', wlcgGroup)
  const capabilities = scopes.filter(({ name }) => /^(?:storage|compute|host)\./.test(name))
  if (capabilities.length === 0) return { grants: 'unbounded', groups }
  const grants: Grant[] = []
  for (const { name, path } of capabilities) {
    if (!name.startsWith('storage.')) continue
    if (path === undefined) throw refuse('token-scope', `scope ${quoted(name)} needs a path`)
    const place = scopePath(path, basePath)
    const kind = Object.hasOwn(wlcgKinds, name) ? wlcgKinds[name] : undefined
    if (kind !== undefined) grants.push({ kind, ...place })
  }
  return { grants, groups: [] }
}

const sciTokenKinds: Readonly<Record<string, GrantKind>> = { read: 'read', write: 'modify' }
const version2 = ['scitoken:2.0', 'scitokens:2.0']
const version1 = [undefined, 'scitoken:1.0', 'scitokens:1.0']
const version1Claims = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'scope', 'ver', 'opt'])

function readSciToken(payload: JsonObject, basePath: Path): Permissions {
  const version = member(payload, 'ver')
  const isVersion1 = (version1 as readonly unknown[]).includes(version)
  if (!isVersion1 && !(version2 as readonly unknown[]).includes(version)) {
    throw refuse('token-profile', `ver ${quoted(version)} is not scitoken:2.0 or 1.0`)
  }
  // Version 1.0: every claim is critical unless it is understood.
  const strange = isVersion1 ? Object.keys(payload).find((name) => !version1Claims.has(name)) : undefined
  if (strange !== undefined) throw refuse('token-profile', `claim ${quoted(strange)} is unknown to SciTokens 1.0`)
  const scopes = readScopes(payload)
  if (scopes.length === 0) throw refuse('token-scope', 'scope is missing')
  const grants: Grant[] = []
  for (const { name, path } of scopes) {
    const kind = Object.hasOwn(sciTokenKinds, name) ? sciTokenKinds[name] : undefined
    if (kind !== undefined) grants.push({ kind, ...scopePath(path ?? '/', basePath) })
  }
  return { grants, groups: [] }
}

/** Any text without control characters; the issuer's name behind it keeps it apart from local groups. */
const plainGroup = /^[^\p{Cc}\p{Cs}]+$/u

/** The groups of somebody who signed in: an ID token tells who it is, and never carries capabilities. */
export function groupsOf(payload: JsonObject, issuer: IssuerOptions): readonly string[] {
  if (issuer.profile === 'wlcg') return readGroups(payload, 'wlcg.groups', wlcgGroup)
  const claim = issuer.groups?.claim
  return claim === undefined ? [] : readGroups(payload, claim, plainGroup)
}

function readPlain(payload: JsonObject, issuer: IssuerOptions): Permissions {
  // Its issuer has narrowed such a token; taking it for an unbounded one would widen it.
  const narrowing = readScopes(payload).find(
    ({ name, path }) => name.startsWith('storage.') || (Object.hasOwn(sciTokenKinds, name) && path?.startsWith('/')),
  )
  if (narrowing !== undefined) {
    throw refuse(
      'token-scope',
      `scope ${quoted(narrowing.name)}: this issuer is configured for tokens without capabilities`,
    )
  }
  return { grants: 'unbounded', groups: groupsOf(payload, issuer) }
}

interface Scope {
  readonly name: string
  /** What follows the first colon; undefined without a colon. */
  readonly path: string | undefined
}

/** The `scope` claim (RFC 8693, section 4.2; grammar of RFC 6749, section 3.3). */
function readScopes(payload: JsonObject): readonly Scope[] {
  const claim = member(payload, 'scope')
  if (claim === undefined || claim === '') return []
  if (typeof claim !== 'string' || !/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(claim)) {
    throw refuse('token-scope', 'scope is not a list of scopes in one string')
  }
  const words = claim.split(' ').filter((word) => word !== '')
  if (words.length > maxScopes) throw refuse('token-scope', `scope lists more than ${maxScopes} scopes`)
  return [...new Set(words)].map((word) => {
    const colon = word.indexOf(':')
    return colon < 0 ? { name: word, path: undefined } : { name: word.slice(0, colon), path: word.slice(colon + 1) }
  })
}

function readGroups(payload: JsonObject, claim: string, grammar: RegExp): readonly string[] {
  const groups = member(payload, claim)
  if (groups === undefined) return []
  if (!Array.isArray(groups) || groups.length > maxGroups) {
    throw refuse('token-profile', `${claim} is not a list of at most ${maxGroups} groups`)
  }
  // A membership that is dropped could be the one that a DENY entry speaks about: so all or nothing.
  return groups.map((group: unknown) => {
    if (typeof group !== 'string' || group.length > maxNameLength || !grammar.test(group)) {
      throw refuse('token-profile', `${claim} holds a name that is no group name`)
    }
    return group
  })
}
