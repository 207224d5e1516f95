/**
 * From a principal that was let in back to how that came: each step anew, with nothing asked of others that letting him
 * in would not ask. For himself, since it tells his groups, his bounds and the rules that made them.
 */

import type { Principal } from '../principal.ts'
import { traceAccount } from './account-trace.ts'
import { administratorBy } from './administrators.ts'
import { describeGrants, explainFailure } from './bearer.ts'
import { type DerivedKind, standFor } from './derived.ts'
import type { JudgeStep } from './identity.ts'
import type { Trace } from './jwt.ts'
import { byKerberos } from './kerberos/local-identity.ts'
import { mapCertificate } from './mapping.ts'
import { sayerOf } from './password-sessions.ts'
import { quoted } from './refusal.ts'
import type { SessionState, SignedIn } from './sessions.ts'

export interface TellingMeans {
  readonly state: SessionState
  /** How he signed in, where that is known. */
  readonly signedIn: SignedIn | undefined
  /** Verifies a bearer token or macaroon, and remembers nothing of it. */
  verify(token: string, trace: Trace): Promise<unknown>
  /** Finds out anew whose session this is. */
  session(id: string, trace: Trace): Promise<unknown>
}

/** Never throws for a credential that is not good any more: the step that refuses it is the last one then. */
export async function tellSteps(principal: Principal, means: TellingMeans): Promise<readonly JudgeStep[]> {
  const steps: JudgeStep[] = []
  const trace: Trace = (step, text) => void steps.push({ step, passed: true, text })
  try {
    await retrace(principal, means, trace)
  } catch (error) {
    const { rule, text } = explainFailure(error)
    return [...steps, { step: rule, passed: false, text }]
  }
  traceBounds(principal, means.state, trace)
  return steps
}

async function retrace(principal: Principal, means: TellingMeans, trace: Trace): Promise<void> {
  const { user, macaroon, guest, session, counted, credential } = principal
  if (user === undefined) return trace('credential', 'none: without one only what is open to everyone is there')
  // Whoever opens a link has nothing to do with the account and the groups of its maker.
  if (guest) return trace('credential', `a share link of ${user}`)
  if (macaroon) {
    trace('credential', 'a macaroon')
    await means.verify(macaroon.reveal(), trace)
  } else if (session !== undefined) {
    trace('credential', `the cookie of session ${session}`)
    await means.session(session, trace)
  } else if (counted !== undefined) {
    await retraceDerived(principal, means, trace)
  } else if (credential?.kind === 'bearer') {
    trace('credential', 'a bearer token')
    await means.verify(credential.secret.reveal(), trace)
  } else if (means.signedIn?.kind === 'kerberos') {
    trace('credential', `a ticket of ${means.signedIn.name}, or the cookie that stands for one`)
    await byKerberos(means.signedIn.name, means.state, trace)
  } else if (principal.id.startsWith('dn:')) {
    trace('credential', `a certificate for ${principal.id.slice(3)}`)
    for (const sentence of mapCertificate(principal.id.slice(3), means.state.options.mapping).explanation) {
      trace('mapping', sentence)
    }
    await traceOwn(principal, means.state, trace)
  } else {
    trace('credential', wordsFor(principal, means.signedIn))
    await traceOwn(principal, means.state, trace)
  }
}

function wordsFor({ id }: Principal, signedIn: SignedIn | undefined): string {
  if (id.startsWith('basic:')) return `a user name and a password, which was right${sayerOf(signedIn)}`
  if (id.startsWith('account:')) return 'none: asked about as an account, as if a ticket or password had been shown'
  return `known as ${quoted(id)}`
}

const kinds: Readonly<Record<DerivedKind, string>> = { 'app-password': 'application password', 's3-key': 'access key' }

async function retraceDerived(principal: Principal, { state }: TellingMeans, trace: Trace): Promise<void> {
  const [, name = '', id = ''] = /#(app-password|s3-key):([\w-]{1,64})$/.exec(principal.id) ?? []
  const kind: DerivedKind = name === 's3-key' ? 's3-key' : 'app-password'
  const { signIn, s3 } = state.options
  const kept = kind === 's3-key' ? await s3?.keys.get(id) : await signIn?.appPasswords.get(id)
  trace('credential', `${kinds[kind]} ${id} of ${principal.counted}`)
  if (kept === undefined) return traceOwn(principal, state, trace)
  await standFor(kept, kind, [], state, trace)
}

/** His account as it is now, with the groups that he was let in with. */
async function traceOwn(principal: Principal, { accounts, options }: SessionState, trace: Trace): Promise<void> {
  const { domain } = options
  const [name = ''] = (principal.user ?? '').split('@')
  traceAccount(trace, await accounts.find(name), principal, { accounts, domain })
}

function traceBounds(principal: Principal, { options }: SessionState, trace: Trace): void {
  const { grants, within, addresses, maxUpload, expires } = principal
  const entry = administratorBy(principal, options)
  const by = entry === undefined ? 'no entry of `administrators` is about this caller' : `by ${quoted(entry)}`
  trace('administrator', by)
  trace('bounds', grants === 'unbounded' ? 'none: what the ACLs allow' : describeGrants(grants))
  if (within) trace('bounds', `and no more than its maker had: ${describeGrants(within)}`)
  for (const networks of addresses?.networks ?? []) trace('bounds', `from ${networks.join(', ')} only`)
  if (maxUpload !== undefined) trace('bounds', `uploads of ${maxUpload} bytes at most`)
  if (expires !== undefined) trace('expires', new Date(expires * 1000).toISOString())
}
