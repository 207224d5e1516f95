/** From a bearer token to a Principal: verify, read scopes and groups, map, look up the account. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Principal } from '../principal.ts'
import { Secret } from '../secret.ts'
import { traceAccount } from './account-trace.ts'
import { type Accounts, principalOf } from './accounts.ts'
import { isAdministrator } from './administrators.ts'
import { audiencesOf } from './claims.ts'
import type { Introspected, Introspection } from './introspection/introspection.ts'
import { type Trace, type TrustedIssuer, verifyToken } from './jwt.ts'
import type { LinkedAccounts } from './links/linked.ts'
import { linkParts, type MappingInput, mapToken, nameOfGroup } from './mapping.ts'
import type { IdentityOptions } from './options.ts'
import { groupsOf, readPermissions } from './profiles.ts'
import { deny, quoted } from './refusal.ts'

export interface BearerContext {
  readonly options: IdentityOptions
  /** By the exact text of `iss`. */
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  readonly accounts: Accounts
  readonly introspection: Introspection
  /** Nobody is asked about links if absent. */
  readonly linked?: LinkedAccounts | undefined
  /** Milliseconds since 1970. */
  readonly now: number
  readonly trace: Trace
  /** The caller's address: guessing tokens that are no JWTs is slowed down for each. */
  readonly from?: string | undefined
}

export interface Authenticated {
  readonly principal: Principal
  readonly tokenId: string | undefined
  /** Further names under which it can be banned. */
  readonly marks: readonly string[]
  /** The certificate that must come with the token; see `requireBinding`. */
  readonly boundTo?: string
  /** Milliseconds since 1970 until which its issuer's word is believed, where it was asked. */
  readonly vouchedUntil?: number
}

/** Throws `unauthenticated`, `denied` or `unavailable` with a reason. Caches nothing. */
export async function authenticateBearer(token: string, context: BearerContext): Promise<Authenticated> {
  const { options, trace } = context
  const verified = await verify(token, context)
  const issuer = verified.issuer.options
  const { grants, groups } = readPermissions(verified.payload, issuer)
  const bounds = grants === 'unbounded' ? 'no capabilities: bounded by ACLs alone' : describeGrants(grants)
  trace('scopes', `${bounds}; ${groups.length} groups count`)
  const hasCapabilities = grants !== 'unbounded'
  const local = await localIdentity(
    { issuer, subject: verified.subject, payload: verified.payload, groups, hasCapabilities },
    context,
  )
  const principal: Principal = {
    id: `${issuer.issuer}|${verified.subject ?? ''}`,
    ...local,
    grants,
    expires: verified.expires,
    credential: {
      kind: 'bearer',
      secret: new Secret(token),
      issuer: issuer.issuer,
      audiences: audiencesOf(verified.payload),
      ...(verified.boundTo !== undefined && { bound: true }),
    },
    ...(isAdministrator({ ...local, grants }, options) && { administrator: true }),
  }
  const { tokenId, boundTo, until } = verified
  if (boundTo !== undefined) trace('binding', 'good with the certificate of its holder alone (cnf)')
  return {
    principal,
    tokenId: tokenId === undefined ? undefined : `${issuer.issuer}|${tokenId}`,
    // Beside capabilities groups give no rights, but a ban of one is of all its members.
    marks: hasCapabilities
      ? groupsOf(verified.payload, issuer).map((group) => `group:${nameOfGroup(group, issuer)}`)
      : [],
    ...(boundTo !== undefined && { boundTo }),
    ...(until !== undefined && { vouchedUntil: until }),
  }
}

/** By its signature, by asking its issuer, or both. */
async function verify(token: string, context: BearerContext): Promise<Introspected> {
  const { introspection, trace, from } = context
  if (introspection.isFor(token)) return introspection.verify(token, from, trace)
  return introspection.confirm(token, await verifyToken(token, context), trace)
}

/** Whom verified claims stand for here, whichever way they came. Throws `denied`: see `mapToken`, `Accounts.find`. */
export async function localIdentity(
  input: MappingInput,
  { options, accounts, linked, trace }: Pick<BearerContext, 'options' | 'accounts' | 'linked' | 'trace'>,
): Promise<Pick<Principal, 'user' | 'groups' | 'posix' | 'link' | 'linkEnds'>> {
  const known = input.subject === undefined ? undefined : await linked?.find(input.issuer, input.subject)
  const mapped = mapToken({ ...input, linked: known ?? [] }, options.mapping)
  for (const sentence of mapped.explanation) trace('mapping', sentence)
  const account = await accounts.find(mapped.account)
  const joined = await findJoined(mapped.joins, accounts)
  const local = principalOf(account, options.domain, { groups: mapped.groups, joined })
  traceAccount(trace, account, local, { accounts, domain: options.domain })
  return { ...local, ...linkParts(mapped) }
}

/** The gids of groups joined by rule; a group that no source numbers counts by its name alone. */
export async function findJoined(
  names: ReadonlySet<string>,
  accounts: Accounts,
): Promise<ReadonlyMap<string, number | undefined>> {
  const joined = new Map<string, number | undefined>()
  for (const name of names) {
    const group = await accounts.findGroup(name)
    if (group?.gid === 0)
      throw deny('account-refused', `group ${name} is the system's own (gid 0) and may not be joined`)
    joined.set(name, group?.gid)
  }
  return joined
}

/** Capabilities in a sentence; of many the first. */
export function describeGrants(grants: Exclude<Principal['grants'], 'unbounded'>): string {
  if (grants.length === 0) return 'capabilities, none of them for storage'
  const shown = grants.slice(0, 20).map(({ kind, path, directoryOnly }) => {
    const slash = directoryOnly && path !== '/' ? '/' : ''
    return `${kind} ${quoted(`${path}${slash}`)}`
  })
  return `may ${shown.join(', ')}${grants.length > shown.length ? ' and more' : ''}`
}

/** The rule and text of a refusal; other failures keep their public message. */
export function explainFailure(thrown: unknown): { readonly rule: string; readonly text: string } {
  const error = StorageError.from(thrown)
  return StorageError.reasonOf(error) ?? { rule: error.code, text: error.message }
}
