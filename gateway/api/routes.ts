/** Everything below /.portolan/: the REST interface, its description, and two pages for people. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Identity } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import type { StorageOperations } from '../core/storage.ts'
import { apiPrefix, explainPage, ownPrefix, problemsPage, tapeWellKnown } from '../http/problem.ts'
import type { RouteDoor } from '../http/routes.ts'
import { accountPage, kerberosPage, linkPage, loginPage, logoutPage, whoamiPage } from '../http/sign-in-links.ts'
import { changeAccount, showAccount } from './account.ts'
import { getAcl, putAcl } from './acl.ts'
import { createAppPassword, listAppPasswords, revokeAppPassword } from './app-passwords.ts'
import { addBan, addRevocation, listBans, removeBan } from './bans.ts'
import type { BodyBudget } from './body-budget.ts'
import { effective } from './effective.ts'
import { explain } from './explain.ts'
import { showExplain } from './explain-page.ts'
import { confirmLinking, showLinking } from './linking.ts'
import { listLinks, removeLink } from './links.ts'
import { endLock, listLocks } from './locks.ts'
import { finishLogin, login, loginByTicket, logout, showLogin, showLogout } from './login.ts'
import { loginOptions } from './login-options.ts'
import { revokeMacaroon, rotateMacaroons } from './macaroons.ts'
import { mounts } from './mounts.ts'
import { openApi } from './openapi.ts'
import { Pacing } from './pace.ts'
import { indexPage, problemList } from './pages.ts'
import { rights } from './rights.ts'
import { createS3Key, endS3Session, listS3Keys, removeS3Key, switchS3Key } from './s3-keys.ts'
import { endOne, listSessions } from './sessions.ts'
import { createShare, listShares, revokeShare } from './shares.ts'
import { tapeDiscovery, tapeRoutes } from './tape.ts'
import { listUploads, removeUpload } from './uploads.ts'
import { usage } from './usage.ts'
import { versions } from './versions.ts'
import { showWhoami, whoami } from './whoami.ts'

export interface ApiOptions {
  readonly storage: StorageOperations
  readonly identity: Identity
  /** Our own address, as in the door's options. */
  readonly publicUrl: string
  /** What clients of the tape interface call this site; the host of publicUrl if absent. */
  readonly sitename?: string
  /** Whether requests can be served now; false makes load balancers look elsewhere. */
  readonly ready: () => boolean | Promise<boolean>
  /** How often one caller may ask `explain` in a minute. */
  readonly explainPerMinute?: number
}

/** What a handler works with. */
export interface ApiContext extends ApiOptions {
  readonly door: RouteDoor
  /** Of questions about rights. */
  readonly pacing: Pacing
}

/** Sends the answer itself, or throws a StorageError. */
export type ApiHandler = (context: ApiContext, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

export interface ApiRoute {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Below /.portolan/api/v1; `{id}` stands for one segment. */
  readonly path: string
  readonly handler: ApiHandler
  /** Where larger bodies than usual are taken: bytes of one, and who counts those of all. */
  readonly body?: { readonly limit: number; readonly budget: BodyBudget }
}

/** Alive, and whether people can be looked up; of the servers that were asked nothing is told to everybody. */
const health: ApiHandler = async ({ identity }) => {
  const sources = identity.sources?.() ?? []
  return { status: 'ok', accounts: sources.map(({ name, available }) => ({ source: name, available })) }
}

const ready: ApiHandler = async (context) => {
  if (await context.ready()) return { status: 'ready' }
  throw new StorageError('unavailable', 'not ready', { retryAfter: 5 })
}

const description: ApiHandler = async (context) => openApi(context.publicUrl)

/** The routes of the interface, each described in openapi.ts. */
export const apiRoutes: readonly ApiRoute[] = [
  { method: 'GET', path: '/whoami', handler: whoami },
  { method: 'GET', path: '/explain', handler: explain },
  { method: 'GET', path: '/acl', handler: getAcl },
  { method: 'PUT', path: '/acl', handler: putAcl },
  { method: 'GET', path: '/acl/effective', handler: effective },
  { method: 'GET', path: '/rights', handler: rights },
  { method: 'GET', path: '/usage', handler: usage },
  { method: 'GET', path: '/mounts', handler: mounts },
  { method: 'GET', path: '/versions', handler: versions },
  { method: 'GET', path: '/login-options', handler: loginOptions },
  { method: 'GET', path: '/shares', handler: listShares },
  { method: 'POST', path: '/shares', handler: createShare },
  { method: 'DELETE', path: '/shares/{id}', handler: revokeShare },
  { method: 'GET', path: '/sessions', handler: listSessions },
  { method: 'DELETE', path: '/sessions/{id}', handler: endOne },
  { method: 'GET', path: '/app-passwords', handler: listAppPasswords },
  { method: 'POST', path: '/app-passwords', handler: createAppPassword },
  { method: 'DELETE', path: '/app-passwords/{id}', handler: revokeAppPassword },
  { method: 'GET', path: '/links', handler: listLinks },
  { method: 'DELETE', path: '/links/{id}', handler: removeLink },
  { method: 'GET', path: '/s3-keys', handler: listS3Keys },
  { method: 'POST', path: '/s3-keys', handler: createS3Key },
  { method: 'PUT', path: '/s3-keys/{id}', handler: switchS3Key },
  { method: 'DELETE', path: '/s3-keys/{id}', handler: removeS3Key },
  { method: 'POST', path: '/s3-keys/sessions/revoke', handler: endS3Session },
  { method: 'POST', path: '/macaroons/rotate', handler: rotateMacaroons },
  { method: 'POST', path: '/macaroons/revoke', handler: revokeMacaroon },
  { method: 'GET', path: '/bans', handler: listBans },
  { method: 'POST', path: '/bans', handler: addBan },
  { method: 'DELETE', path: '/bans', handler: removeBan },
  { method: 'POST', path: '/revocations', handler: addRevocation },
  { method: 'GET', path: '/locks', handler: listLocks },
  { method: 'DELETE', path: '/locks', handler: endLock },
  { method: 'GET', path: '/uploads', handler: listUploads },
  { method: 'DELETE', path: '/uploads/{id}', handler: removeUpload },
  ...tapeRoutes(),
  { method: 'GET', path: '/health', handler: health },
  { method: 'GET', path: '/ready', handler: ready },
  { method: 'GET', path: '/openapi.json', handler: description },
]

/** Pages where people sign in and out, and see what was made in their name. */
const pages: ReadonlyArray<readonly ['GET' | 'POST', string, ApiHandler]> = [
  ['GET', loginPage, showLogin],
  ['POST', loginPage, login],
  ['GET', kerberosPage, loginByTicket],
  ['GET', `${loginPage}/callback/:issuer`, finishLogin],
  ['GET', logoutPage, showLogout],
  ['POST', logoutPage, logout],
  ['GET', accountPage, showAccount],
  ['POST', accountPage, changeAccount],
  ['GET', linkPage, showLinking],
  ['POST', linkPage, confirmLinking],
  ['GET', explainPage, showExplain],
  ['GET', whoamiPage, showWhoami],
]

/** Questions of one caller in a minute. */
const usualPace = 120

/** For the door's option `routes`. */
export function createApi(options: ApiOptions): (app: FastifyInstance, door: RouteDoor) => void {
  return (app, door) => {
    const pacing = new Pacing({ perMinute: options.explainPerMinute ?? usualPace })
    const context: ApiContext = { ...options, publicUrl: options.publicUrl.replace(/\/+$/, ''), door, pacing }
    for (const route of apiRoutes) addRoute(app, context, route)
    for (const [method, url, handler] of pages) {
      app.route({ method, url, handler: (request, reply) => handler(context, request, reply) })
    }
    app.get(tapeWellKnown, async () => tapeDiscovery(context))
    app.get(ownPrefix, (_request, reply) => reply.redirect(`${context.publicUrl}${ownPrefix}/`, 308))
    app.get(`${ownPrefix}/`, (_request, reply) => indexPage(reply))
    app.get(problemsPage, (_request, reply) => problemList(reply))
  }
}

function addRoute(app: FastifyInstance, context: ApiContext, { method, path, handler, body }: ApiRoute): void {
  app.route({
    method,
    url: `${apiPrefix}${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
    handler: (request, reply) => handler(context, request, reply),
    ...(body && {
      bodyLimit: body.limit,
      onRequest: async (request) => body.budget.reserve(await context.door.authenticate(request), body.limit),
    }),
  })
}
