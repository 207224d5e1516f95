/**
 * What somebody hands to one program of his and what is kept here: application passwords, access keys of S3. They have
 * a macaroon's bounds, on a secret that the program can be told. As with macaroons, the account is looked up at every use.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, root } from '../../gateway/core/path.ts'
import type { Grant, Principal } from '../principal.ts'
import { addressesOf, grantsOf, readCaveats } from './caveats.ts'
import { lastingMarks } from './holder.ts'
import type { Trace } from './jwt.ts'
import { byKerberos } from './kerberos/local-identity.ts'
import { requireLink } from './links/linked.ts'
import { localOf } from './macaroons.ts'
import type { Holder } from './options.ts'
import { refuse } from './refusal.ts'
import { byIssuer, type SessionState, type SignedIn } from './sessions.ts'

/** Also the rule by which one is refused. */
export type DerivedKind = 'app-password' | 's3-key'

/** As kept, whatever it is. Times are milliseconds since 1970. */
export interface Derived {
  readonly id: string
  /** `Principal.id` and `Principal.user` of whoever made it. */
  readonly principal: string
  readonly user: string
  /** See `termsFor`. */
  readonly terms: string
  readonly expires: number
}

export interface DerivedOrder {
  /** This and what lies below; everything if absent. */
  readonly path?: Path
  /** As in an `activity` caveat; everything if absent. */
  readonly activities?: readonly string[]
  /** Where it may be used from; anywhere if empty. */
  readonly networks: readonly string[]
  /** Seconds. */
  readonly validity?: number
}

/** What is known of the credential that one is made with. */
export interface Source {
  readonly holder: Holder | undefined
  /** How the owner of a session signed in. */
  readonly signedIn: SignedIn | undefined
}

interface Terms {
  readonly caveats: readonly string[]
  /** Groups that the account has not by itself, those of issuers included. */
  readonly groups: readonly string[]
  /** Of who signed in at an issuer or by a ticket: the mapping says at every use whom that stands for. */
  readonly signedIn?: Mapped
  /** Bounds of the credential that it was made with; absent if there were none. */
  readonly within?: readonly Grant[]
  readonly tokenId?: string
  readonly issuer?: string
  /** `Principal.link` of whoever made it. */
  readonly link?: string
  /** `lastingMarks` of whoever made it. */
  readonly marks?: readonly string[]
}

type Mapped = Extract<SignedIn, { kind: 'issuer' | 'kerberos' }>

const maxName = 100
const maxGroups = 1000

/** Of an account as it is, without further bounds. */
export const ownTerms = JSON.stringify({ caveats: [], groups: [] } satisfies Terms)

/** Its bounds and whom it stands for, as text. Throws `invalid` for bounds that are not understood. */
export async function termsFor(
  principal: Principal & { readonly user: string },
  order: DerivedOrder,
  { holder, signedIn: way }: Source,
  { options, accounts }: SessionState,
): Promise<string> {
  const caveats = caveatsOf(principal, order)
  readCaveats(caveats)
  const own = (await localOf({ user: principal.user, groups: [] }, accounts, options.domain)).groups
  const groups = [...principal.groups].filter((group) => !own.has(group))
  if (groups.length > maxGroups) throw new StorageError('invalid', 'the credential has too many groups')
  const tokenId = holder?.tokenId
  const signedIn = way?.kind === 'issuer' || way?.kind === 'kerberos' ? way : undefined
  const issuer = principal.credential?.issuer
  const marks = lastingMarks(holder)
  const terms: Terms = {
    caveats,
    groups: signedIn ? [] : groups,
    ...(signedIn && { signedIn }),
    ...(principal.grants !== 'unbounded' && { within: principal.grants }),
    ...(tokenId !== undefined && { tokenId }),
    ...(issuer !== undefined && { issuer }),
    ...(principal.link !== undefined && { link: principal.link }),
    ...(marks.length > 0 && { marks }),
  }
  return JSON.stringify(terms)
}

/**
 * Whom a genuine one stands for now; `marks` are the names under which it can be revoked. Throws `unauthenticated` where
 * what it was made with is not trusted any more, `denied` when the account is gone.
 */
export async function standFor(
  kept: Derived,
  kind: DerivedKind,
  marks: readonly string[],
  state: SessionState,
  trace?: Trace,
): Promise<{ readonly principal: Principal; readonly holder: Holder }> {
  const terms = termsOf(kept)
  if (terms.issuer !== undefined && !state.issuers.has(terms.issuer)) {
    throw refuse(kind, 'it was made by somebody of an issuer that is trusted no more')
  }
  const link = await requireLink(terms.link, kept.user, state.linked)
  const bounds = readCaveats(terms.caveats)
  const local = await localIn(terms, kept.user, kind, { ...state, trace })
  const addresses = addressesOf(bounds)
  const principal: Principal = {
    id: `${kept.principal}#${kind}:${kept.id}`,
    ...local,
    ...link,
    grants: grantsOf(bounds),
    ...(terms.within && { within: terms.within }),
    ...(addresses && { addresses }),
    ...(bounds.maxUpload !== undefined && { maxUpload: bounds.maxUpload }),
    expires: kept.expires / 1000,
    counted: kept.principal,
  }
  const { tokenId, marks: lasting = [] } = terms
  return { principal, holder: { id: kept.principal, user: kept.user, tokenId, marks: [...marks, ...lasting] } }
}

async function localIn(
  { groups, signedIn }: Terms,
  user: string,
  kind: DerivedKind,
  { trace, ...state }: SessionState & { readonly trace: Trace | undefined },
) {
  if (signedIn === undefined) return localOf({ user, groups }, state.accounts, state.options.domain, trace)
  const isByTicket = signedIn.kind === 'kerberos'
  const local = isByTicket ? await byKerberos(signedIn.name, state, trace) : await byIssuer(signedIn, state, trace)
  if (local.user === user) return local
  throw refuse(kind, 'whoever made it is somebody else here by now')
}

/** Derived credentials are for programs: nobody makes further ones with them. */
export function requirePerson(principal: Principal, kind: DerivedKind): Principal & { readonly user: string } {
  const { user, macaroon, counted } = principal
  if (user === undefined) throw refuse(kind, 'only who has a credential can hand on his rights')
  if (macaroon !== undefined || counted !== undefined) {
    throw new StorageError('denied', 'not allowed', {
      reason: { rule: kind, text: 'they are made by who signs in himself, not with another derived credential' },
    })
  }
  return { ...principal, user }
}

/** Throws `invalid`. */
export function nameOf(name: string): string {
  if (/^[^\p{Cc}\p{Cs}]+$/u.test(name) && name.length <= maxName && name.trim() === name) return name
  throw new StorageError('invalid', `a name has 1 to ${maxName} characters, no blanks around them and no controls`)
}

/**
 * Milliseconds since 1970; `usual` and `most` are seconds. A session may end tonight; what its owner hands to his
 * programs need not. A token is all that its bearer has. Throws `invalid` where that is over already.
 */
export function endOf(
  { expires }: Principal,
  { validity }: DerivedOrder,
  { now, usual, most }: { readonly now: number; readonly usual: number; readonly most: number },
): number {
  const end = Math.min(
    now + Math.min(validity ?? Math.min(usual, most), most) * 1000,
    Math.floor((expires ?? Number.POSITIVE_INFINITY) * 1000),
  )
  if (end <= now) throw new StorageError('invalid', 'it would have ended before it began')
  return end
}

/** A capability stands for itself alone; whoever signs in as a person sees all that this person has made. */
export function isOwn(kept: Derived, { id, user, grants }: Principal): boolean {
  return kept.principal === id || (grants === 'unbounded' && user !== undefined && kept.user === user)
}

/** Its bounds, for people. */
export function shownBounds(kept: Derived): {
  readonly path: Path
  readonly activities: readonly string[] | 'all'
  readonly networks: readonly string[]
} {
  const { path, activities, networks } = readCaveats(termsOf(kept).caveats)
  return { path, activities: activities === 'all' ? 'all' : [...activities], networks: networks.flat() }
}

function caveatsOf({ addresses, maxUpload }: Principal, { path = root, activities, networks }: DerivedOrder) {
  if (activities?.length === 0) throw new StorageError('invalid', 'it must allow something')
  return [
    ...(addresses?.networks ?? []).map((each) => `ip:${each.join()}`),
    ...(maxUpload === undefined ? [] : [`max-upload:${maxUpload}`]),
    ...(path === root ? [] : [`path:${path}`]),
    ...(activities === undefined ? [] : [`activity:${activities.join()}`]),
    ...(networks.length === 0 ? [] : [`ip:${networks.join()}`]),
  ]
}

function termsOf({ terms }: Derived): Terms {
  return JSON.parse(terms) as Terms
}
