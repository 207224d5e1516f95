/**
 * Membership in groups as research communities write it (AARC-G069, and AARC-G002 before it):
 *
 *     urn:NID:DELEGATED[:SUBNAMESPACE]*:group:GROUP[:SUBGROUP]*[:role=ROLE][#AUTHORITY]
 *
 * Pure. The namespace tells who may say so: it is pinned to the issuer, and those of another one in its tokens do not count.
 */

import { type JsonObject, member } from '../json.ts'
import { maxEntitlementLength, maxGroupDepth, maxGroups } from './limits.ts'
import type { IssuerOptions } from './options.ts'
import { quoted, refuse } from './refusal.ts'

/** In canonical form: two that mean the same are equal, part by part. */
export interface Entitlement {
  /** "urn:geant:helmholtz.de", in lower case. */
  readonly namespace: string
  /** The group and its subgroups on the way to the one that is meant. */
  readonly groups: readonly [string, ...string[]]
  readonly role: string | undefined
  /** Who says so; of account only where an issuer is held to it. */
  readonly authority: string | undefined
}

/** Read from both, the older name first. */
export const entitlementClaims = ['eduperson_entitlement', 'entitlements'] as const

/** Undefined for what is no entitlement to a group. */
export function parseEntitlement(text: string): Entitlement | undefined {
  if (text.length > maxEntitlementLength || /[\p{Cc}\p{Cs}]/u.test(text)) return undefined
  const [, whole = '', , authority] = /^([^#]*)(#(.*))?$/u.exec(text) ?? []
  // RFC 8141, section 2.3: what follows `?+` and `?=` is not part of the name.
  const parts = (whole.split(/\?[+=]/u)[0] ?? '').split(':').map(canonical)
  const at = parts.indexOf('group', 3)
  if (at < 0 || parts.some((part) => part === undefined || part === '')) return undefined
  const namespace = namespaceOf(parts.slice(0, at).join(':'))
  const names = parts.slice(at + 1).filter((part) => part !== undefined)
  const last = names.at(-1)
  const role = last?.startsWith('role=') ? last.slice('role='.length) : undefined
  const [group, ...subgroups] = role === undefined ? names : names.slice(0, -1)
  if (namespace === undefined || group === undefined || role === '' || subgroups.length >= maxGroupDepth)
    return undefined
  // A role is the role in the deepest group, and comes last.
  if ([group, ...subgroups].some((name) => name.startsWith('role='))) return undefined
  return { namespace, groups: [group, ...subgroups], role, authority }
}

/** "urn:geant:helmholtz.de" in canonical form; undefined for what is no namespace of entitlements. */
export function namespaceOf(text: string): string | undefined {
  const parts = text.split(':')
  // RFC 8141, section 2: the parts before the group read the same in either case.
  const isNamespace =
    parts.length >= 3 && parts.every((part) => /^(?:[\w.~!$&'()*+,;=@/-]|%[0-9A-Fa-f]{2})+$/.test(part))
  const lower = text.toLowerCase().replace(/%[0-9a-f]{2}/g, (triplet) => triplet.toUpperCase())
  return isNamespace && lower.startsWith('urn:') ? lower : undefined
}

/**
 * Whether who holds `held` fulfils `required`: the same group or one below it; with a role, the very same group and role.
 * Unlike in tokens of the WLCG profile, a member of a subgroup is one of the group.
 */
export function satisfies(held: Entitlement, required: Entitlement): boolean {
  if (held.namespace !== required.namespace || held.groups.length < required.groups.length) return false
  if (!required.groups.every((group, index) => group === held.groups[index])) return false
  if (required.role === undefined) return true
  return required.role === held.role && required.groups.length === held.groups.length
}

/** In canonical form, without the authority. */
export function nameOfEntitlement({ namespace, groups, role }: Entitlement): string {
  return `${namespace}:group:${groups.join(':')}${role === undefined ? '' : `:role=${role}`}`
}

/** Everything that it fulfils: each group down to the one that is meant, and the role in it. */
export function namesFulfilled(held: Entitlement): readonly string[] {
  const groups = held.groups.map(
    (_group, index) => `${held.namespace}:group:${held.groups.slice(0, index + 1).join(':')}`,
  )
  return held.role === undefined ? groups : [...groups, nameOfEntitlement(held)]
}

/**
 * Those of a verified token that count for its issuer. Throws `unauthenticated` for a claim that holds anything but
 * texts, and for one of the issuer's own groups that cannot be read: it could be the one that a DENY entry speaks about.
 */
export function readEntitlements(payload: JsonObject, { entitlements }: IssuerOptions): readonly Entitlement[] {
  if (entitlements === undefined) return []
  const own = new Set(entitlements.namespaces.map(namespaceOf))
  const found: Entitlement[] = []
  for (const { claim, text } of textsOf(payload)) {
    const held = parseEntitlement(text)
    if (held === undefined && isOfGroup(text, own)) {
      throw refuse('token-profile', `${claim} holds ${quoted(text)}, which is no entitlement`)
    }
    if (held === undefined || !own.has(held.namespace)) continue
    if (entitlements.authorities?.includes(held.authority ?? '') === false) continue
    found.push(held)
  }
  return found
}

function textsOf(payload: JsonObject) {
  return entitlementClaims.flatMap((claim) => {
    const value = member(payload, claim)
    if (value === undefined) return []
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (list.length > maxGroups)
      throw refuse('token-profile', `${claim} is not a list of at most ${maxGroups} entitlements`)
    return list.map((text) => {
      if (typeof text === 'string') return { claim, text }
      throw refuse('token-profile', `${claim} holds what is no text`)
    })
  })
}

/** Whether it begins as a group of one of these namespaces does. */
function isOfGroup(text: string, namespaces: ReadonlySet<string | undefined>): boolean {
  const lower = text.toLowerCase()
  return [...namespaces].some((namespace) => namespace && lower.startsWith(`${namespace.toLowerCase()}:group`))
}

/**
 * RFC 8141, section 3.1: triplets in capitals, nothing decoded, so that an encoded colon never becomes a real one. What
 * AARC-G002 let stand in the open is encoded. Undefined where a percent sign begins no triplet.
 */
function canonical(part: string): string | undefined {
  const pieces = part.split(/(%[0-9A-Fa-f]{2})/)
  const written = pieces.map((piece, index) => {
    if (index % 2 === 1) return piece.toUpperCase()
    return piece.replace(/[^\w.~!$&'()*+,;=@/%-]+/gu, encodeURIComponent)
  })
  return pieces.some((piece, index) => index % 2 === 0 && piece.includes('%')) ? undefined : written.join('')
}
