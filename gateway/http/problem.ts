/** Problem documents (RFC 9457): code, call and where to ask why. The reason itself is never in them. */

import { type ErrorCode, StorageError } from '../core/errors.ts'
import { isWithin, type Path, parentOf } from '../core/path.ts'
import { errorPage } from '../web/error-page.ts'
import { pageHeaders } from '../web/page.ts'
import { wantsHtml } from './accept.ts'
import { HttpError, titles } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { headerOf } from './page-header.ts'
import { respond } from './respond.ts'
import { signInHref } from './sign-in-links.ts'
import { encodePath } from './target.ts'

/** Everything of ours is below this name, which no storage can take. */
export const ownPrefix = '/.portolan'
export const apiPrefix = `${ownPrefix}/api/v1`
export const problemsPage = `${ownPrefix}/problems`
/** Where people ask why something is allowed or refused. */
export const explainPage = `${ownPrefix}/explain`
/** Where clients of the WLCG Tape REST API look for it. */
export const tapeWellKnown = '/.well-known/wlcg-tape-rest-api'
const stagePath = `${apiPrefix}/tape/stage`

/** Of these the message speaks of the request, not of what is stored: it may be told to anybody. */
const detailed: ReadonlySet<ErrorCode> = new Set([
  'invalid',
  'bad-checksum',
  'name-too-long',
  'too-large',
  'range',
  'unsupported',
])
/** Of these the caller may want to know the reason, and `explain` knows it. */
const explained: ReadonlySet<ErrorCode> = new Set(['unauthenticated', 'denied', 'not-owner', 'read-only'])

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  /** The call's name in the logs. */
  readonly call: string
  readonly detail?: string
  readonly explain?: string
  /** Of a file on tape: where it can be asked for. */
  readonly stage?: string
}

/**
 * Answers with the error. Once the response has begun there is nothing honest left to say, and the
 * connection is cut. A caller that is gone gets nothing.
 */
export async function sendProblem(exchange: Exchange, thrown: unknown): Promise<StorageError> {
  const error = exchange.failureOf(thrown)
  const { response, request } = exchange
  if (response.headersSent || response.destroyed || request.socket.destroyed) {
    if (!response.writableEnded) request.socket.destroy()
    return error
  }
  const status = error instanceof HttpError ? error.status : exchange.statusOf(error.code)
  const headers = [...challenges(exchange, error, status), ...(error instanceof HttpError ? error.headers : [])]
  if (error.retryAfter !== undefined) headers.push('Retry-After', String(Math.max(1, Math.ceil(error.retryAfter))))
  if (error.code === 'nearline') headers.push('Link', `<${exchange.door.publicUrl}${stagePath}>; rel="related"`)
  headers.push('Cache-Control', 'no-store')
  const problem = problemOf(exchange, error, status)
  const rendered = exchange.rendered?.(error, problem)
  if (rendered) {
    await respond(exchange, status, ['Content-Type', rendered.type, ...headers], rendered.body)
  } else if (wantsHtml(request.headers.accept)) {
    const explain = problem.explain === undefined ? undefined : explainHref(exchange, explainPage)
    const page = errorPage({ ...problem, explain, folder: folderOf(exchange) }, headerOf(exchange))
    await respond(exchange, status, [...pageHeaders, ...headers], page)
  } else {
    const body = `${JSON.stringify(problem)}\n`
    await respond(exchange, status, ['Content-Type', 'application/problem+json', ...headers], body)
  }
  return error
}

function problemOf(exchange: Exchange, error: StorageError, status: number): Problem {
  const { publicUrl } = exchange.door
  const detail = detailed.has(error.code) ? error.message : undefined
  const explain = explained.has(error.code) ? explainHref(exchange, `${apiPrefix}/explain`) : undefined
  return {
    type: `${publicUrl}${problemsPage}#${error.code}`,
    title: titles[error.code],
    status,
    code: error.code,
    call: exchange.id,
    ...(detail !== undefined && { detail }),
    ...(explain !== undefined && { explain }),
    ...(error.code === 'nearline' && { stage: `${publicUrl}${stagePath}` }),
    ...(error instanceof HttpError && error.members),
  }
}

/** Where a person goes on from: the directory of what was asked for, or that a form was sent to. */
function folderOf({ path, slash, request }: Exchange): string | undefined {
  if (isWithin(path, ownPrefix as Path)) return undefined
  if (path === '/' && request.method !== 'POST') return undefined
  const folder = slash && request.method === 'POST' ? path : parentOf(path)
  return folder === '/' ? '/' : `${encodePath(folder)}/`
}

/** Where the reason is told, by `place`. Without an action there was no decision that could be explained. */
export function explainHref(
  { door, action, path }: Pick<Exchange, 'door' | 'action' | 'path'>,
  place: string,
): string | undefined {
  if (action === undefined) return undefined
  return `${door.publicUrl}${place}?path=${encodeURIComponent(path)}&action=${action}`
}

/**
 * RFC 6750, section 3: no error code for a request without a credential, `invalid_token` for one
 * that failed, `insufficient_scope` where the token's scope was too narrow.
 */
function challenges(exchange: Exchange, error: StorageError, status: number): string[] {
  const bearer = /^bearer(?: |$)/i.test(exchange.request.headers.authorization ?? '')
  if (status === 403) {
    const narrow = bearer && StorageError.reasonOf(error)?.rule === 'scope'
    return narrow ? ['WWW-Authenticate', 'Bearer realm="portolan", error="insufficient_scope"'] : []
  }
  if (status !== 401) return []
  const headers = ['WWW-Authenticate', `Bearer realm="portolan"${bearer ? ', error="invalid_token"' : ''}`]
  if (isVisitor(exchange) && signInHref(exchange) !== undefined) return headers
  // A browser would ask for a password on behalf of a script that had better tell the user itself; and whoever is asked, sends it.
  const asks = exchange.isPrivate && exchange.request.headers['x-requested-with'] === undefined
  if (exchange.door.negotiate && !exchange.linked && asks) headers.push('WWW-Authenticate', 'Negotiate')
  if (exchange.door.basic && !exchange.linked && asks) {
    headers.push('WWW-Authenticate', 'Basic realm="portolan", charset="UTF-8"')
  }
  return headers
}

/** Somebody who opens a page in a browser, which would ask for a password before it showed where to sign in. */
function isVisitor({ request: { method, headers } }: Exchange): boolean {
  const { authorization, accept, 'sec-fetch-mode': mode } = headers
  const opens =
    (method === 'GET' || method === 'HEAD' || method === 'POST') && (mode === undefined || mode === 'navigate')
  return opens && authorization === undefined && wantsHtml(accept)
}
