/** Where people link identities of issuers to their accounts, after proving that they have both. */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { StoredLink } from '../../../gateway/state/state.ts'
import { newId } from '../../ids.ts'
import { type Principal, requireAdministrator } from '../../principal.ts'
import { wholeHolder } from '../holder.ts'
import { type Mapped, type MappingInput, mapToken } from '../mapping.ts'
import type { LinkOptions } from '../options.ts'
import { deny } from '../refusal.ts'
import type { SignedIn } from '../sessions.ts'
import type { ListPart, PendingSignIn } from '../sign-in.ts'
import { clock, type IdentityState } from '../state.ts'
import { markOfLink } from './linked.ts'
import type { Link, Links, ProvenIdentity } from './links.ts'

/** Of one account. */
const mostOfOne = 20
/** Told at once to an administrator. */
const mostTold = 10_000
const mostRevoked = 10_000
/** Milliseconds for which all processes are told that one has gone: longer than any of them believes in what it knew. */
const told = 900_000
const maxNote = 200

type ByIssuer = Extract<SignedIn, { kind: 'issuer' }>
type Owner = Principal & { readonly user: string }

export class LinkDesk implements Links {
  readonly #state: () => IdentityState
  readonly #signedIn: (principal: Principal) => SignedIn | undefined

  constructor(state: () => IdentityState, signedIn: (principal: Principal) => SignedIn | undefined) {
    this.#state = state
    this.#signedIn = signedIn
  }

  get ways(): Links['ways'] {
    const { options } = this.#state()
    const issuers = options.signIn?.issuers ?? []
    return issuers
      .filter(({ name }) => options.links?.issuers.includes(name))
      .map(({ name, label }) => ({ name, label }))
  }

  async start(principal: Principal, issuer: string, redirectUri: string) {
    const state = this.#state()
    this.#requireOwner(principal, state)
    this.#requireWay(issuer)
    return state.login.start(issuer, redirectUri, state, clock(state.options))
  }

  async prove(principal: Principal, pending: PendingSignIn, answer: URL): Promise<ProvenIdentity> {
    const state = this.#state()
    const owner = this.#requireOwner(principal, state)
    const { label } = this.#requireWay(pending.issuer)
    const proven = await state.login.prove(pending, answer, state, clock(state.options))
    const { issuer, subject, tokenId } = proven
    const holder = wholeHolder(principal, { id: `${issuer}|${subject}`, user: owner.user, tokenId })
    if (state.options.revocations?.isRevoked(holder) === true) throw deny('revoked', 'this identity was banned')
    await this.#requireFree(owner, proven, state)
    return { issuer, subject, label }
  }

  async add(principal: Principal, { issuer, subject }: ProvenIdentity, note: string): Promise<Link> {
    const state = this.#state()
    const { store } = optionsOf(state)
    const owner = this.#requireOwner(principal, state)
    if (labelOf(issuer, state) === undefined) throw noWay()
    if (note.length > maxNote) throw new StorageError('invalid', 'the note is too long')
    const link = { id: newId(12), issuer, subject, user: owner.user, by: principal.id, note }
    return shown(await store.add(link, { most: mostOfOne, since: countsFrom(optionsOf(state)) }), state)
  }

  async list(principal: Principal, all: boolean, part: ListPart = {}): Promise<readonly Link[]> {
    const state = this.#state()
    const { store } = optionsOf(state)
    if (all) requireAdministrator(principal)
    const { user, most = mostTold, after } = part
    if (all) return (await store.list(user, Math.min(most, mostTold + 1), after)).map((link) => shown(link, state))
    if (!isPerson(principal)) return []
    return (await store.list(principal.user, mostOfOne)).map((link) => shown(link, state))
  }

  async remove(principal: Principal, id: string): Promise<Link> {
    const state = this.#state()
    const { store, revocations } = optionsOf(state)
    const link = await store.get(id)
    const isOwn = isPerson(principal) && principal.user === link?.user
    if (link === undefined || !(isOwn || principal.administrator)) throw new StorageError('not-found', 'no such link')
    // First of all it is over: telling so may fail, since there is room for so many only.
    await store.remove(id)
    const entry = { name: markOfLink(id), principal: principal.id, note: '', until: revocations.now() + told }
    await revocations.add(entry, mostRevoked)
    await state.options.revocations?.refresh?.()
    return shown(link, state)
  }

  /** Somebody who has shown to have the account: with its password or ticket, or at an issuer that a rule speaks about. */
  #requireOwner(principal: Principal, state: IdentityState): Owner {
    const facts = this.#signedIn(principal)
    if (!isPerson(principal) || principal.session === undefined || facts === undefined) {
      throw refused('identities are linked by who is signed in with a browser')
    }
    if (facts.kind === 'issuer' && !isByRule(principal, facts, state)) {
      throw refused('who came by a link to his account adds no further ones; sign in with the account itself')
    }
    return principal
  }

  #requireWay(name: string): Links['ways'][number] {
    const way = this.ways.find((each) => each.name === name)
    if (way === undefined) throw noWay()
    return way
  }

  /** Throws `exists` for an identity that stands for an account without a link of ours, or by a link of somebody else. */
  async #requireFree({ user }: Owner, facts: ByIssuer, state: IdentityState): Promise<void> {
    const { linked } = state
    const input = inputOf(facts, state)
    const mapped = without(await linked.elsewhere(input.issuer, facts.subject), input, state)
    if (mapped !== undefined) {
      const isOwn = `${mapped.account}@${state.options.domain}` === user
      if (isOwn) throw taken('the identity stands for your account already')
      throw taken('the identity stands for another account', mapped.explanation.join('; '))
    }
    const before = await optionsOf(state).store.find(facts.issuer, facts.subject)
    if (before !== undefined && before.user !== user && linked.counts(before)) {
      throw taken('the identity is linked to another account', `link ${before.id} of ${before.user}`)
    }
  }
}

function isPerson(principal: Principal): principal is Owner {
  const { user, grants, within, macaroon, counted } = principal
  return user !== undefined && grants === 'unbounded' && !within && macaroon === undefined && counted === undefined
}

function isByRule({ user }: Principal, facts: ByIssuer, state: IdentityState): boolean {
  const mapped = without([], inputOf(facts, state), state)
  return mapped !== undefined && `${mapped.account}@${state.options.domain}` === user
}

/** What the rules, and these links, make of an identity; undefined where nothing speaks about it. */
function without(
  linked: MappingInput['linked'] & object,
  input: MappingInput,
  state: IdentityState,
): Mapped | undefined {
  try {
    return mapToken({ ...input, linked }, state.options.mapping)
  } catch (thrown) {
    const reason = StorageError.reasonOf(StorageError.from(thrown))
    if (reason?.rule === 'mapping-none') return undefined
    throw thrown
  }
}

function inputOf({ issuer: url, subject, groups, claims }: ByIssuer, { issuers }: IdentityState): MappingInput {
  const issuer = issuers.get(url)?.options
  if (issuer === undefined) throw noWay()
  return { issuer, subject, payload: claims, groups, hasCapabilities: false }
}

/** Milliseconds since 1970: what was proven before counts no more. */
function countsFrom({ lifetime, store }: LinkOptions): number {
  return lifetime === undefined ? 0 : store.now() - lifetime * 1000
}

function shown(link: StoredLink, state: IdentityState): Link {
  return { ...link, label: labelOf(link.issuer, state), expires: state.linked.endOf(link) }
}

function labelOf(issuer: string, { options, issuers }: IdentityState): string | undefined {
  const name = issuers.get(issuer)?.options.name
  if (name === undefined || !options.links?.issuers.includes(name)) return undefined
  return options.signIn?.issuers.find((each) => each.name === name)?.label
}

function optionsOf({ options }: IdentityState): LinkOptions {
  if (options.links) return options.links
  throw new StorageError('unsupported', 'nobody links identities here')
}

function noWay(): StorageError {
  return new StorageError('not-found', 'identities of this issuer are not linked here')
}

function refused(text: string): StorageError {
  return new StorageError('denied', text, { reason: { rule: 'link', text } })
}

function taken(message: string, text = message): StorageError {
  return new StorageError('exists', message, { reason: { rule: 'link', text } })
}
