/** GET explain: what would be answered, and why. It alone gives reasons. */

import type { FastifyRequest } from 'fastify'
import type { JudgeStep } from '../../acl/identity/identity.ts'
import type { Action } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import { type Reason, StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Explanation } from '../core/storage.ts'
import { administered } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import { parseQuery } from '../http/query.ts'
import { actionOf, pathOf } from './parameters.ts'
import type { ApiContext, ApiHandler } from './routes.ts'

/** To a credential that did not even get its owner in there is one step. */
export interface Told extends Omit<Explanation, 'principal'> {
  readonly principal: { readonly id: string; readonly user: string | null; readonly groups: readonly string[] }
  /** How the credential came to stand for this principal; of somebody else, how his account did. */
  readonly identity?: readonly JudgeStep[]
}

export interface Asked {
  readonly action: Action
  readonly path: Path
  /** Whom it is about; the caller if absent. */
  readonly user?: string | undefined
}

export const explain: ApiHandler = async (context, request) => {
  const { query } = context.door.exchangeOf(request)
  const { path, action, user } = parseQuery(query, ['path', 'action', 'user'])
  return explained(context, request, { path: pathOf(path), action: actionOf(action), user })
}

/** The explanation for whoever sent the request. Throws `busy` for who asks too often, `denied` for who asks about others. */
export async function explained(context: ApiContext, request: FastifyRequest, asked: Asked): Promise<Told> {
  const { action, path, user } = asked
  const exchange = context.door.exchangeOf(request)
  context.pacing.spendAddress(exchange)
  try {
    await context.door.authenticate(request)
  } catch (thrown) {
    return refusal(exchange, StorageError.from(thrown), action, path)
  }
  context.pacing.spendCaller(exchange)
  const subject = user === undefined ? undefined : await subjectOf(context, exchange, user)
  const found = await explanationOf(context, exchange, { action, path, subject })
  const explanation = subject && context.identity.isRevoked?.(subject) ? banned(found) : found
  const { principal } = explanation
  const told = { ...explanation, principal: { ...principal, user: principal.user ?? null } }
  if (principal.user === undefined) return told
  const identity = await context.identity.explainCredential?.(subject ?? exchange.principal)
  return identity === undefined || identity.length === 0 ? told : { ...told, identity }
}

async function explanationOf(
  { storage }: ApiContext,
  { call }: Exchange,
  asked: { readonly action: Action; readonly path: Path; readonly subject: Principal | undefined },
): Promise<Explanation> {
  const { action, path, subject } = asked
  const explanation = await storage.explain(call, action, path, subject)
  if (action !== 'create' || explanation.allowed !== true) return explanation
  // A refused PUT does not tell whether it met a file. Where it did, replacing it is what was refused.
  const replacing = await storage.explain(call, 'replace', path, subject)
  if (replacing.allowed !== false || findsNothing(replacing)) return explanation
  // A credential that may not replace is refused before it is known whether there is anything.
  return findsNothing(await storage.explain(call, 'stat', path, subject)) ? explanation : replacing
}

function findsNothing({ steps }: Explanation): boolean {
  return steps.some((step) => step.allowed === false && step.reason.rule === 'not-found')
}

/** Of somebody else, whom no credential would let in. */
function banned({ principal, action, path }: Explanation): Explanation {
  const reason = { rule: 'revoked', text: 'this user, or a group of theirs, is banned' }
  return {
    principal,
    action,
    path,
    allowed: false,
    steps: [{ check: 'credential', allowed: false, reason }],
    advice: 'Take the ban away first: `portolan ban list` shows it.',
  }
}

/** Whether an account exists is told to nobody but an administrator. */
async function subjectOf(context: ApiContext, exchange: Exchange, user: string): Promise<Principal> {
  const find = async () => {
    const subject = await context.identity.principalOf(user)
    if (!subject) throw new StorageError('not-found', 'no such account')
    return subject
  }
  // The line of the explanation tells whom it was about.
  return administered(exchange, 'inspect', `what ${user} may do`, find, () => undefined)
}

/** The credential did not even get its owner in: that is the explanation. Everything else is a failure of ours. */
function refusal(exchange: Exchange, error: StorageError, action: Action, path: Path): Told {
  const reason = StorageError.reasonOf(error)
  if ((error.code !== 'unauthenticated' && error.code !== 'denied') || !reason) throw error
  const shown = publicReason(exchange, reason)
  return {
    principal: { id: 'unknown', user: null, groups: [] },
    action,
    path,
    allowed: false,
    steps: [{ check: 'credential', allowed: false, reason: shown }],
    advice: adviceFor(shown.rule),
  }
}

/** A guesser of passwords is not told which half was wrong. */
function publicReason(exchange: Exchange, reason: Reason): Reason {
  if (!/^basic /i.test(exchange.request.headers.authorization ?? '')) return reason
  return { rule: 'password', text: 'the user name or the password is wrong, or the account may not come in this way' }
}

/** Rules about credentials that no other credential of the same kind would change. */
const settled: Readonly<Record<string, string>> = {
  password: 'Check user name and password. Whoever runs this gateway can tell which accounts have one here.',
  'mapping-none': 'Ask whoever runs this gateway to say which account you are: no line of its configuration does.',
  'mapping-ambiguous': 'Tell whoever runs this gateway: two lines of its configuration disagree about you.',
  'account-unknown': 'Ask whoever runs this gateway for an account: the one that you are mapped to is not there.',
  'account-refused': 'Ask whoever runs this gateway: the account that you are mapped to may not come in.',
  revoked: 'Ask whoever runs this gateway: you, or this credential, were banned.',
  'plain-http': 'Use https: a credential is not accepted where it can be read on the way.',
}

function adviceFor(rule: string): string {
  return Object.hasOwn(settled, rule)
    ? (settled[rule] ?? '')
    : 'Get a new credential, or sign in again; `portolan token` judges a token step by step.'
}
