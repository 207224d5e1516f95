/** The frontend's REST interface below /api/v1 (user guide, Frontend). */

import { anonymousLogin, type Login } from './access.ts'
import type { Counters } from './counters.ts'
import { Failure, type FailureCode } from './failure.ts'
import type { Faults } from './faults.ts'
import { bulkResource } from './frontend-bulk.ts'
import { eventsResource } from './frontend-events.ts'
import { namespaceResource } from './frontend-namespace.ts'
import { labelsResource, qosResource, quotaResource, spaceResource, userResource } from './frontend-others.ts'
import { tapeResource, wellKnownResource } from './frontend-tape.ts'
import { BadLogin } from './login.ts'
import { type Answer, type Ask, Serving, type Tls } from './serving.ts'
import type { Site } from './site.ts'

/** One request that has passed the login. */
export interface RestCall {
  readonly site: Site
  readonly ask: Ask
  readonly login: Login
  /** What follows the name of the resource, percent-decoded; begins with "/". */
  readonly rest: string
  /** Of the interface, ending in "/api/v1". */
  readonly base: string
}

type Resource = (call: RestCall) => Promise<Answer>

const resources: Readonly<Record<string, Resource>> = {
  user: userResource,
  namespace: namespaceResource,
  events: eventsResource,
  'bulk-requests': bulkResource,
  tape: tapeResource,
  quota: quotaResource,
  space: spaceResource,
  'qos-management': qosResource,
  labels: labelsResource,
  'well-known': wellKnownResource,
}

const statuses: Readonly<Record<FailureCode, number>> = {
  'bad-request': 400,
  denied: 403,
  forbidden: 403,
  missing: 404,
  exists: 400,
  conflict: 409,
  'not-empty': 400,
  'no-space': 507,
  precondition: 412,
  unsupported: 405,
  'too-many': 429,
  off: 503,
  internal: 500,
}

const prefix = '/api/v1'

export function createFrontend(site: Site, tls: Tls | undefined, counters: Counters, faults: Faults): Serving {
  const serving: Serving = new Serving({
    place: 'frontend',
    host: 'localhost',
    tls,
    counters,
    faults,
    kindOf: (_method, path) => partsOf(path).name,
    handle: (ask) => handle(site, ask, serving.url),
  })
  return serving
}

function partsOf(path: string): { readonly name: string; readonly rest: string } {
  if (path.startsWith('/.well-known/')) return { name: 'well-known', rest: path }
  const [, name = '', rest = ''] = /^\/api\/v1\/([^/]*)(.*)$/s.exec(path) ?? []
  return { name, rest: rest === '' ? '/' : rest }
}

async function handle(site: Site, ask: Ask, url: URL): Promise<Answer> {
  let login = anonymousLogin
  try {
    login = await site.logins.login(ask.headers.authorization, ask.url.searchParams.get('authz'), ask.address)
    const { name, rest } = partsOf(ask.path)
    const resource = resources[name]
    if (!resource) throw new Failure('missing', 'HTTP 404 Not Found')
    return await resource({ site, ask, login, rest, base: `${url.origin}${prefix}` })
  } catch (error) {
    if (error instanceof BadLogin) return refusal(401, 'Permission denied', ask)
    if (!(error instanceof Failure)) throw error
    const isAnonymous = error.code === 'denied' && login.uid === undefined
    return refusal(isAnonymous ? 401 : statuses[error.code], error.message, ask)
  }
}

function refusal(status: number, message: string, ask: Ask): Answer {
  const answer = json(status, { errors: [{ message, status: `${status}` }] })
  if (status !== 401 || 'suppress-www-authenticate' in ask.headers) return answer
  return { ...answer, headers: { ...answer.headers, 'WWW-Authenticate': 'Basic realm="dCache", Bearer' } }
}

export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(value) }
}
