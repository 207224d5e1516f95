/** The page of one's own sessions and application passwords, for who has nothing but a browser. */

import { StorageError } from '../core/errors.ts'
import { formToken, requireFormToken } from '../http/csrf.ts'
import type { Exchange } from '../http/exchange.ts'
import { headerOf } from '../http/page-header.ts'
import { parseQuery } from '../http/query.ts'
import { clearSession } from '../http/session-cookie.ts'
import { accountPage as address, linkPage } from '../http/sign-in-links.ts'
import { type AccountPage, accountPage } from '../web/account.ts'
import { activitiesFor, endAppPassword, makeAppPassword, passwordsOf, shownPassword } from './app-passwords.ts'
import { readForm } from './form-body.ts'
import { endLink, shownLink } from './links.ts'
import { endSession } from './login.ts'
import { pathOf } from './parameters.ts'
import { sendPage, sendTo } from './people-pages.ts'
import type { ApiContext, ApiHandler } from './routes.ts'
import { sessionsOf, shownSession } from './sessions.ts'
import { requireCaller } from './shares.ts'

const day = 86_400

export const showAccount: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireCaller(x)
  return sendPage(x, reply, await pageFor(context, x))
}

/** One of its buttons. */
export const changeAccount: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  const names = ['csrf', 'end', 'revoke', 'unlink', 'name', 'path', 'read', 'days'] as const
  const form = readForm(request.headers['content-type'], request.body, names)
  requireCaller(x)
  requireFormToken(x, form.csrf)
  if (form.end !== undefined) {
    await endSession(x, sessionsOf(context), form.end)
    return goOn(x, reply, form.end === x.principal.session)
  }
  if (form.revoke !== undefined) {
    await endAppPassword(context, x, form.revoke)
    return sendTo(x, reply, address)
  }
  if (form.unlink !== undefined) {
    await endLink(context, x, form.unlink)
    return goOn(x, reply, form.unlink === x.principal.link)
  }
  return make(context, x, reply, form)
}

/** Back to the page; away from it where the caller has just ended what he came by. Other processes learn so a little later. */
function goOn(x: Exchange, reply: Parameters<ApiHandler>[2], isOver: boolean): Promise<void> {
  return isOver ? sendTo(x, reply, '/', ['Set-Cookie', clearSession(x)]) : sendTo(x, reply, address)
}

type Make = Readonly<Partial<Record<'name' | 'path' | 'read' | 'days', string>>>

async function make(context: ApiContext, x: Exchange, reply: Parameters<ApiHandler>[2], form: Make): Promise<void> {
  try {
    const { name = '', path = '/', read, days = '' } = form
    if (!/^\d{1,3}$/.test(days) || days === '0') throw new StorageError('invalid', 'the number of days is none')
    const { password, ...made } = await makeAppPassword(context, x, {
      name,
      path: pathOf(path),
      networks: [],
      validity: Number(days) * day,
      ...(read !== undefined && { activities: activitiesFor(['read']) }),
    })
    const { expires } = shownPassword(made)
    await sendPage(x, reply, await pageFor(context, x, { made: { name, password: password.reveal(), expires } }))
  } catch (error) {
    const { code, message } = StorageError.from(error)
    if (code !== 'invalid' && code !== 'exists') throw error
    await sendPage(x, reply, await pageFor(context, x, { problem: `Nothing was made: ${message}.` }), { status: 400 })
  }
}

/** What is linked to the account, and what may be linked by who came with a session. */
async function linkedOf(
  { identity: { links }, publicUrl }: ApiContext,
  { principal }: Exchange,
): Promise<AccountPage['links']> {
  if (!links) return { links: [], ways: [] }
  const ways = principal.session === undefined || principal.link !== undefined ? [] : links.ways
  // Issuers send people back to our own address, so they leave from there too: cookies belong to one host.
  const place = `${publicUrl}${linkPage}`
  return {
    links: (await links.list(principal, false)).map(shownLink),
    ways: ways.map(({ name, label }) => ({ label, href: `${place}?${new URLSearchParams({ issuer: name })}` })),
  }
}

async function pageFor(
  context: ApiContext,
  x: Exchange,
  more: Pick<AccountPage, 'made' | 'problem'> = {},
): Promise<string> {
  const { principal } = x
  const sessions = await sessionsOf(context).list(principal)
  const passwords = await passwordsOf(context).list(principal, false)
  return accountPage({
    ...more,
    header: headerOf(x),
    action: address,
    token: formToken(x),
    user: principal.user ?? '',
    sessions: sessions.map((session) => shownSession(session, principal.session)),
    passwords: passwords.map((password) => {
      const { allow, used, ...same } = shownPassword(password)
      const allows = allow.includes('write') ? 'read and write' : allow.includes('read') ? 'read' : 'little'
      return { ...same, allows, used: used ?? undefined }
    }),
    links: await linkedOf(context, x),
    mayMake: principal.grants === 'unbounded' && principal.macaroon === undefined,
  })
}
