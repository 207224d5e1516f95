/** The WebDAV door: who asks, what for, and which status a refusal is (user guide, WebDAV). */

import { anonymousLogin, type Login } from './access.ts'
import type { Counters } from './counters.ts'
import { requestMacaroon } from './door-macaroons.ts'
import { changeProperties, findProperties } from './door-properties.ts'
import { options, read } from './door-reading.ts'
import { copy, makeDirectory, move, put, remove } from './door-writing.ts'
import { Failure, type FailureCode } from './failure.ts'
import type { Faults } from './faults.ts'
import { BadLogin } from './login.ts'
import { type Answer, type Ask, Serving, type Tls } from './serving.ts'
import type { Site } from './site.ts'

/** One request that has passed the login. */
export interface DoorCall {
  readonly site: Site
  readonly ask: Ask
  readonly login: Login
  /** dCache's own path of what was asked for. */
  readonly path: string
  /** Of the door itself. */
  readonly base: URL
}

type Verb = (call: DoorCall) => Promise<Answer>

const verbs: Readonly<Record<string, Verb>> = {
  GET: read,
  HEAD: read,
  OPTIONS: options,
  PUT: put,
  DELETE: remove,
  MKCOL: makeDirectory,
  MOVE: move,
  COPY: copy,
  PROPFIND: findProperties,
  PROPPATCH: changeProperties,
  POST: requestMacaroon,
}

const readOnly: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PROPFIND'])

/** DcacheStandardFilter and DcacheResponseHandler: everything not named there is a 500. */
const statuses: Readonly<Record<FailureCode, number>> = {
  'bad-request': 400,
  denied: 401,
  forbidden: 403,
  missing: 404,
  exists: 405,
  conflict: 409,
  'not-empty': 500,
  'no-space': 507,
  precondition: 412,
  unsupported: 405,
  'too-many': 429,
  off: 503,
  internal: 500,
}

export function createDoor(site: Site, tls: Tls | undefined, counters: Counters, faults: Faults): Serving {
  const serving: Serving = new Serving({
    place: 'door',
    host: 'localhost',
    tls,
    counters,
    faults,
    kindOf: (method) => method,
    handle: (ask) => handle(site, ask, serving.url),
  })
  return serving
}

async function handle(site: Site, ask: Ask, base: URL): Promise<Answer> {
  let login = anonymousLogin
  try {
    login = await site.logins.login(ask.headers.authorization, ask.url.searchParams.get('authz'), ask.address)
    const verb = verbs[ask.method]
    if (!verb) return refusal(501, 'Not Implemented', ask)
    const isOpen =
      site.options.anonymous === 'FULL' || (site.options.anonymous === 'READONLY' && readOnly.has(ask.method))
    if (login.uid === undefined && ask.method !== 'OPTIONS' && ask.method !== 'POST' && !isOpen) {
      return refusal(401, 'Unauthorized', ask)
    }
    return await verb({ site, ask, login, path: site.gate.resolve(login, ask.path), base })
  } catch (error) {
    if (error instanceof BadLogin) return refusal(401, 'Unauthorized', ask)
    if (!(error instanceof Failure)) throw error
    // Releases differ in what they answer an authenticated user who may not.
    const isForbidden = error.code === 'denied' && site.options.forbids === true && login.uid !== undefined
    return refusal(isForbidden ? 403 : statuses[error.code], error.message, ask)
  }
}

/** A page from a template, whoever asks; only the reason of a 400 says what was wrong. */
function refusal(status: number, message: string, ask: Ask): Answer {
  const title = `${status} ${message.replace(/[<>&]/g, '')}`
  return {
    status,
    ...(status === 400 ? { reason: message.replace(/[^ -~]/g, '?') } : {}),
    headers: {
      'Content-Type': 'text/html;charset=utf-8',
      Server: 'dCache/9.2.0',
      ...(status === 401 && !('suppress-www-authenticate' in ask.headers)
        ? { 'WWW-Authenticate': 'Basic realm="dCache", Bearer' }
        : {}),
    },
    body: `<!DOCTYPE html><html><head><title>dCache - ${title}</title></head><body><h1>${title}</h1></body></html>\n`,
  }
}
