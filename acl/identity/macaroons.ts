/**
 * Macaroons of our own: what somebody hands on of his rights, narrower and for a while.
 *
 * One that is made from another macaroon is that one with more caveats, so it can be neither wider nor longer-lived,
 * and is revoked with it. The account is looked up at every use; bans of it, and of the token it came from, hold.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, type Path, rebase, root } from '../../gateway/core/path.ts'
import { newId } from '../ids.ts'
import { attenuate, createMacaroon, isIntact, type Macaroon, parseMacaroon, serializeMacaroon } from '../macaroon.ts'
import type { Principal } from '../principal.ts'
import { Secret } from '../secret.ts'
import { traceAccount } from './account-trace.ts'
import { type Accounts, principalOf } from './accounts.ts'
import { findJoined } from './bearer.ts'
import { addressesOf, type Bounds, grantsOf, readCaveats } from './caveats.ts'
import type { Epoch, Epochs } from './epochs.ts'
import { lastingMarks } from './holder.ts'
import type { IssuedMacaroon, MacaroonOrder } from './identity.ts'
import type { Trace } from './jwt.ts'
import { type LinkedAccounts, requireLink } from './links/linked.ts'
import type { Holder, MacaroonOptions } from './options.ts'
import { refuse } from './refusal.ts'
import { epochOf, openSnapshot, type Snapshot, sealSnapshot } from './snapshot.ts'

/** What a credential is looked at with. */
export interface MacaroonContext {
  readonly epochs: Epochs
  readonly accounts: Accounts
  readonly domain: string
  /** Issuers of tokens that are still trusted. */
  readonly issuers: ReadonlyMap<string, unknown>
  readonly linked?: LinkedAccounts | undefined
  /** Milliseconds since 1970. */
  readonly now: number
  readonly trace: Trace
}

/** Of tokens only JWTs hold a dot; a macaroon is base64url. */
export function looksLikeMacaroon(token: string): boolean {
  return !token.includes('.')
}

/** How macaroons with a location begin, in base64url: `00..location ` in version 1; in version 2 its length, and http or portolan. */
const beginning = /^(?:MD[AB].{5}Y2F0aW9u|AgE.(?:aHR0|cG9y))/

/**
 * Whether it is a macaroon, where there are opaque tokens too, of any text. A damaged one is one: whoever is shown it may
 * be able to mend it.
 */
export function isMacaroon(token: string): boolean {
  if (beginning.test(token)) return true
  try {
    parseMacaroon(token)
    return true
  } catch {
    // What is wrong with it is told where it has to be one.
    return false
  }
}

/** Throws `unauthenticated` or `denied` with a reason. Caches nothing. */
export async function authenticateMacaroon(
  text: string,
  context: MacaroonContext,
): Promise<{ readonly principal: Principal; readonly holder: Holder }> {
  const { macaroon, snapshot } = await readGenuine(text, context.epochs)
  const { trace, now, domain, accounts } = context
  const bounds = readBounds(macaroon)
  const end = Math.min(snapshot.expires, bounds.before ?? Number.POSITIVE_INFINITY)
  if (end <= now) throw refuse('token-expired', 'the macaroon has expired')
  if (snapshot.issuer !== undefined && !context.issuers.has(snapshot.issuer)) {
    throw refuse('macaroon-issuer', 'it was made with a token of an issuer that is trusted no more')
  }
  const link = await requireLink(snapshot.linked, snapshot.user, context.linked)
  trace('macaroon', `${snapshot.link ? 'share' : 'macaroon'} ${snapshot.id} of ${snapshot.principal}`)
  const local = await localOf(snapshot, accounts, domain, trace)
  const id = `${snapshot.principal}#${snapshot.link ? 'share' : 'macaroon'}:${snapshot.id}`
  const addresses = addressesOf(bounds)
  const principal: Principal = {
    id,
    ...local,
    ...link,
    grants: grantsOf(bounds),
    ...(snapshot.within && { within: snapshot.within }),
    ...(addresses && { addresses }),
    ...(bounds.maxUpload !== undefined && { maxUpload: bounds.maxUpload }),
    expires: end / 1000,
    macaroon: new Secret(text),
    // Guests of somebody must not use up what he himself needs.
    counted: snapshot.link ? `${snapshot.principal}#shares` : snapshot.principal,
    ...(snapshot.link && { guest: true }),
  }
  return { principal, holder: holderOf(snapshot, macaroon) }
}

/** The account as it is now, with the groups that the issuer's token had given him. */
export async function localOf(
  { user, groups }: Pick<Snapshot, 'user' | 'groups'>,
  accounts: Accounts,
  domain: string,
  trace?: Trace,
): Promise<Pick<Principal, 'user' | 'groups' | 'posix'>> {
  const at = `@${domain}`
  const account = await accounts.find(user.endsWith(at) ? user.slice(0, -at.length) : user)
  const names = groups.filter((group) => group.endsWith(at)).map((group) => group.slice(0, -at.length))
  const joined = await findJoined(new Set(names), accounts)
  const others = new Set(groups.filter((group) => !group.endsWith(at)))
  const local = principalOf(account, domain, { groups: others, joined })
  if (trace) traceAccount(trace, account, local, { accounts, domain })
  return local
}

function holderOf(snapshot: Snapshot, { identifier }: Macaroon): Holder {
  const { principal, user, tokenId, id, marks = [] } = snapshot
  return { id: principal, user, tokenId, marks: [`macaroon:${id}`, `epoch:${epochOf(identifier) ?? ''}`, ...marks] }
}

/** Throws `unauthenticated` for what is not of ours, or was changed other than by adding caveats. */
export async function readGenuine(
  text: string,
  epochs: Epochs,
): Promise<{ readonly macaroon: Macaroon; readonly snapshot: Snapshot }> {
  const macaroon = readMacaroon(text)
  const name = epochOf(macaroon.identifier)
  const epoch = name === undefined ? undefined : await epochs.find(name)
  if (!epoch) throw refuse('macaroon-key', 'the macaroon was not made here, or its key has gone')
  if (!isIntact(macaroon, rootKeyOf(epoch))) throw refuse('macaroon-signature', 'the macaroon was changed')
  return { macaroon, snapshot: openSnapshot(macaroon.identifier, epoch) }
}

function readMacaroon(text: string): Macaroon {
  try {
    return parseMacaroon(text).macaroon
  } catch (cause) {
    throw refuse('macaroon-format', 'the credential is neither a token nor a macaroon', cause)
  }
}

function readBounds({ caveats }: Macaroon): Bounds {
  try {
    return readCaveats(caveats)
  } catch (cause) {
    throw refuse('macaroon-caveat', StorageError.from(cause).message, cause)
  }
}

function rootKeyOf(epoch: Epoch): Uint8Array {
  return epoch.key('macaroon')
}

/** What a new macaroon is made from, beside the order. */
export interface Issuing {
  readonly options: MacaroonOptions
  readonly epochs: Epochs
  readonly accounts: Accounts
  readonly domain: string
  readonly now: number
  /** The credential that the issuer came with. */
  readonly holder: Holder | undefined
}

/** See `Macaroons.issue`. */
export async function issueMacaroon(
  principal: Principal,
  order: MacaroonOrder,
  issuing: Issuing,
): Promise<IssuedMacaroon> {
  const { user } = principal
  if (user === undefined) throw refuse('macaroon-issuer', 'only who has a credential can hand on his rights')
  if (!principal.macaroon) requireOriginal(principal, issuing.holder)
  const wanted = readCaveats(order.caveats)
  const end = Math.min(
    endOf(order, issuing),
    wanted.before ?? Number.POSITIVE_INFINITY,
    Math.floor((principal.expires ?? Number.POSITIVE_INFINITY) * 1000),
  )
  if (end <= issuing.now) throw new StorageError('invalid', 'the macaroon would have ended before it began')
  const before = `before:${new Date(end).toISOString()}`
  const { addresses, maxUpload } = principal
  const own = principal.macaroon
    ? []
    : [
        ...(addresses?.networks ?? []).map((networks) => `ip:${networks.join()}`),
        ...(maxUpload === undefined ? [] : [`max-upload:${maxUpload}`]),
      ]
  const { macaroon, id } = principal.macaroon
    ? await narrower(principal.macaroon, order, issuing)
    : await fresh({ ...principal, user }, order, { ...issuing, end })
  // Links are read by nobody but us, and the shorter form is easier to send.
  const format = order.link ? 'v2' : 'v1'
  const text = serializeMacaroon(attenuate(macaroon, ...own, ...order.caveats, before), format)
  return { id, macaroon: new Secret(text), expires: end }
}

/**
 * Of what was derived and is kept here, such as an application password, nothing is made: it has bounds of its own beside
 * those of who made it, and what were made from it would not end with it.
 */
function requireOriginal({ id, within }: Principal, holder: Holder | undefined): void {
  if (within === undefined && (holder === undefined || holder.id === id)) return
  const reason = { rule: 'macaroon-issuer', text: 'macaroons are not made with another derived credential' }
  throw new StorageError('denied', 'not allowed', { reason })
}

function endOf({ validity, link }: MacaroonOrder, { options, now }: Issuing): number {
  const most = link ? options.maxShareLifetime : options.maxLifetime
  return now + Math.min(validity ?? Math.min(options.defaultLifetime, most), most) * 1000
}

interface Made {
  readonly id: string
  readonly macaroon: Macaroon
}

/** From the macaroon that the caller came with. */
async function narrower(own: Secret, { path, link }: MacaroonOrder, { epochs }: Issuing): Promise<Made> {
  if (link) {
    const reason = { rule: 'macaroon-issuer', text: 'links are made by who signs in himself, not with a macaroon' }
    throw new StorageError('denied', 'not allowed', { reason })
  }
  const { macaroon, snapshot } = await readGenuine(own.reveal(), epochs)
  const { path: top } = readBounds(macaroon)
  if (!isWithin(path, top)) {
    throw new StorageError('denied', 'not allowed', {
      reason: { rule: 'scope', text: 'the macaroon does not reach this path', path },
    })
  }
  return { id: snapshot.id, macaroon: attenuate(macaroon, ...pathCaveat(rebase(path, top, root))) }
}

async function fresh(
  principal: Principal & { readonly user: string },
  { path, link = false }: MacaroonOrder,
  { epochs, options, holder, accounts, domain, end }: Issuing & { readonly end: number },
): Promise<Made> {
  const epoch = await epochs.current()
  const { user, grants, credential } = principal
  const issuer = credential?.issuer ?? holder?.issuer
  const own = (await localOf({ user, groups: [] }, accounts, domain)).groups
  const id = newId(12)
  const snapshot: Snapshot = {
    id,
    link,
    principal: principal.id,
    user,
    groups: [...principal.groups].filter((group) => !own.has(group)),
    ...(grants !== 'unbounded' && { within: grants }),
    expires: end,
    ...(holder?.tokenId !== undefined && { tokenId: holder.tokenId }),
    ...(issuer !== undefined && { issuer }),
    ...(principal.link !== undefined && { linked: principal.link }),
    marks: lastingMarks(holder),
  }
  const identifier = sealSnapshot(snapshot, epoch)
  const made = createMacaroon({ location: link ? '' : options.location, identifier, rootKey: rootKeyOf(epoch) })
  return { id, macaroon: attenuate(made, ...pathCaveat(path)) }
}

function pathCaveat(path: Path): readonly string[] {
  return path === root ? [] : [`path:${path}`]
}
