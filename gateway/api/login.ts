/** Signing in and out with a browser: at an issuer (OpenID Connect), or with the password of an account. */

import type { FastifyReply } from 'fastify'
import type { Session, Sessions, SignIn } from '../../acl/identity/identity.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'
import { formToken, requireFormToken, requireOwnPage, requireVisit } from '../http/csrf.ts'
import { audited } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import { dropTicket, negotiateToken } from '../http/negotiate.ts'
import { headerOf } from '../http/page-header.ts'
import { parseQuery } from '../http/query.ts'
import { asTooMany, requirePrivacy } from '../http/serve.ts'
import { clearSession, sessionCookie, setSession } from '../http/session-cookie.ts'
import { accountPage, kerberosPage, loginPage, logoutPage, returnPath } from '../http/sign-in-links.ts'
import { signInPage, signOutPage } from '../web/sign-in.ts'
import { readForm } from './form-body.ts'
import { finishLinking } from './linking.ts'
import { callbackOf, dropPending, keepPending, pendingOf } from './pending.ts'
import { sendPage, sendTo } from './people-pages.ts'
import type { ApiContext, ApiHandler } from './routes.ts'

/** The page that offers the ways in; with `issuer`, the way to that one. */
export const showLogin: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const { to, issuer } = parseQuery(x.query, ['to', 'issuer'])
  const { signIn } = entrance(context)
  // Nobody is asked for a password where it could be read on the way.
  requirePrivacy(x)
  if (issuer === undefined) return sendPage(x, reply, loginForm(context, x, { to: returnPath(to) }))
  const { url, pending } = await signIn.start(issuer, callbackOf(context, issuer))
  return sendTo(x, reply, url.href, ['Set-Cookie', keepPending(x, { pending, to: returnPath(to) })])
}

/** Back from an issuer. */
export const finishLogin: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const { issuer } = request.params as { readonly issuer: string }
  const { signIn } = entrance(context)
  // Whatever comes of it, the same answer is good for one try.
  x.response.setHeader('Set-Cookie', dropPending(x))
  const kept = pendingOf(x)
  const answer = new URL(`${callbackOf(context, issuer)}?${x.query}`)
  if (kept?.link !== undefined && kept.pending.issuer === issuer) {
    return finishLinking(context, x, reply, { ...kept, answer })
  }
  const learn = () => {
    if (kept === undefined) throw strange('this browser was not sent to an issuer, or too long ago')
    // Each issuer has an address of its own to come back to, so that none can answer for another (RFC 9207, section 2.4; RFC 9700, section 4.4.2).
    if (kept.pending.issuer !== issuer) throw strange('another issuer than the one that was asked has answered')
    return signIn.finish(kept.pending, answer)
  }
  await enter(context, x, reply, { learn, how: issuer, to: kept?.to ?? '/' })
}

/** The form with a password. */
export const login: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const names = ['csrf', 'to', 'user', 'password'] as const
  const { csrf, to, user = '', password = '' } = readForm(request.headers['content-type'], request.body, names)
  requireOwnPage(x)
  requireFormToken(x, csrf)
  requirePrivacy(x)
  const { signIn } = entrance(context)
  if (!signIn.ways.passwords) throw new StorageError('unsupported', 'nobody signs in with a password here')
  const credential = { kind: 'basic', user, password: new Secret(password), from: x.from } as const
  const back = returnPath(to)
  try {
    const learn = () => context.identity.authenticate(credential)
    await enter(context, x, reply, { learn, how: 'password', to: back })
  } catch (thrown) {
    const error = asTooMany(thrown)
    if (!(error instanceof StorageError) || error.code !== 'unauthenticated') throw error
    const page = loginForm(context, x, { to: back, user, problem: 'User name or password is wrong.' })
    await sendPage(x, reply, page, { status: 401, headers: ['WWW-Authenticate', 'Bearer realm="portolan"'] })
  }
}

/** With a ticket that the browser has: it is asked for one, and comes again with it. */
export const loginByTicket: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const { to } = parseQuery(x.query, ['to'])
  const { signIn } = entrance(context)
  requirePrivacy(x)
  if (!signIn.ways.kerberos) throw new StorageError('unsupported', 'nobody signs in with a ticket here')
  if (negotiateToken(request.headers.authorization) === undefined) {
    const problem = 'Your browser has sent no Kerberos ticket: it has none, or it is not set up to send one here.'
    const page = loginForm(context, x, { to: returnPath(to), problem })
    return sendPage(x, reply, page, { status: 401, headers: ['WWW-Authenticate', 'Negotiate'] })
  }
  // Browsers add tickets to what pages fetch, too: those are not to begin sessions without end.
  requireVisit(x)
  const before = await sessionBefore(context, x)
  const learn = async () => x.principal
  return enter(context, x, reply, { learn, how: 'kerberos', to: returnPath(to), ...(before && { before }) })
}

/** The session that the browser has still: the ticket went before its cookie. */
async function sessionBefore({ identity }: ApiContext, x: Exchange): Promise<Principal | undefined> {
  const secret = sessionCookie(x, 'api')
  if (secret === undefined) return undefined
  try {
    return await identity.authenticate({ kind: 'session', secret })
  } catch (error) {
    const { code } = StorageError.from(error)
    if (code === 'unauthenticated' || code === 'denied') return undefined
    throw error
  }
}

export const showLogout: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const { user, session } = x.principal
  const own = session === undefined || user === undefined ? {} : { user }
  const page = { header: headerOf(x), action: logoutPage, token: formToken(x), account: accountPage, ...own }
  return sendPage(x, reply, signOutPage(page))
}

export const logout: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const { csrf } = readForm(request.headers['content-type'], request.body, ['csrf'])
  requireFormToken(x, csrf)
  const { session } = x.principal
  if (session !== undefined) await endSession(x, entrance(context).sessions, session)
  return sendTo(x, reply, '/', ['Set-Cookie', clearSession(x), 'Set-Cookie', dropTicket(x)])
}

/** Ends one, with a line in the audit log. Throws as `Sessions.end`. */
export async function endSession(x: Exchange, sessions: Sessions, id: string): Promise<Session> {
  const work = () => sessions.end(x.principal, id)
  return audited(x, 'revoke', root, work, ({ user }) => `session ${id} of ${user}`, `session ${id}`)
}

interface Entering {
  readonly learn: () => Promise<Principal>
  /** For the audit log. */
  readonly how: string
  readonly to: string
  /** Who the browser was until now, where that is not the caller. */
  readonly before?: Principal
}

/** A session of its own for whoever has just shown who he is; the one that the browser had before ends. */
async function enter(context: ApiContext, x: Exchange, reply: FastifyReply, entering: Entering): Promise<void> {
  const { learn, how, to } = entering
  const { sessions } = entrance(context)
  const { before = x.principal } = entering
  const begin = async () => {
    const principal = await learn()
    x.begin(principal, 'api')
    return sessions.begin(principal, { agent: x.request.headers['user-agent'] ?? '', from: x.from })
  }
  const session = await audited(
    x,
    'issue',
    root,
    begin,
    ({ id, expires }) => `session ${id} by ${how} until ${new Date(expires).toISOString()}`,
  )
  if (before.session !== undefined) await endEarlier(sessions, before, before.session)
  const cookies = ['Set-Cookie', setSession(x, session.secret, session.expires), 'Set-Cookie', dropPending(x)]
  // Who showed a ticket with this browser before is not to speak where the session does not count.
  if (x.door.negotiate) cookies.push('Set-Cookie', dropTicket(x))
  await sendTo(x, reply, to, cookies)
}

async function endEarlier(sessions: Sessions, principal: Principal, id: string): Promise<void> {
  try {
    await sessions.end(principal, id)
  } catch (error) {
    // It has ended by itself meanwhile.
    if (StorageError.from(error).code !== 'not-found') throw error
  }
}

function loginForm(
  context: ApiContext,
  x: Exchange,
  form: { readonly to: string; readonly user?: string; readonly problem?: string },
): string {
  const { issuers, passwords, kerberos } = entrance(context).signIn.ways
  const own = `${kerberosPage}?${new URLSearchParams({ to: form.to })}`
  return signInPage({
    ...form,
    header: { ...headerOf(x), signIn: undefined },
    action: loginPage,
    token: formToken(x),
    passwords,
    issuers: [
      // Issuers send people back to our own address, so they leave from there too: cookies belong to one host.
      ...issuers.map(({ name, label }) => ({
        label,
        href: `${context.publicUrl}${loginPage}?${new URLSearchParams({ issuer: name, to: form.to })}`,
      })),
      ...(kerberos ? [{ label: 'Sign in with Kerberos', href: own }] : []),
    ],
  })
}

function entrance({ identity }: ApiContext): { readonly signIn: SignIn; readonly sessions: Sessions } {
  const { signIn, sessions } = identity
  if (signIn && sessions) return { signIn, sessions }
  throw new StorageError('unsupported', 'nobody signs in here')
}

function strange(text: string): StorageError {
  return new StorageError('unauthenticated', 'the answer of the issuer was not accepted', {
    reason: { rule: 'sign-in', text },
  })
}
