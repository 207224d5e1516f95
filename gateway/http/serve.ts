/**
 * From a request to its handler: host, target, caller, method.
 *
 * The namespace is served without a router in between: its whole point is that one parser of ours,
 * and no other, decides what a request-target means. It also costs less: with a 4 KiB answer and 64
 * connections one process did 45,000 requests a second so, 35,000 through a wildcard route of fastify.
 */

import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ClientCertificate } from '../../acl/client-certificate.ts'
import type { Credential, Identity } from '../../acl/identity/identity.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Secret } from '../../acl/secret.ts'
import type { AuditLog } from '../core/audit.ts'
import type { Call, Protocol } from '../core/call.ts'
import { StorageError } from '../core/errors.ts'
import { isWithin, type Path } from '../core/path.ts'
import { type Admission, ownerOf } from './admission.ts'
import { parseAuthorization, requireOneCredential } from './authenticate.ts'
import { certificateOf, shownWith } from './client-certificate.ts'
import { mayBeCertified, requireOwnPage, requireSameOrigin } from './csrf.ts'
import { HttpError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { requireSound } from './faults.ts'
import { type Domains, type Hosts, requireHost } from './hosts.ts'
import { fromCookies, isFollowed, sendToCleanUrl, takeFromQuery } from './link.ts'
import { negotiateToken, showTicket, ticketCookie } from './negotiate.ts'
import type { DataDoor, Entrance, Method, MountFront, S3Front } from './options.ts'
import { ownPrefix, sendProblem, tapeWellKnown } from './problem.ts'
import { worthReading } from './respond.ts'
import { sessionCookie } from './session-cookie.ts'
import { parseTarget } from './target.ts'

export interface Service {
  readonly identity: Identity
  readonly hosts: Hosts
  readonly admission: Admission
  readonly data: DataDoor
  readonly audit: Pick<AuditLog, 'record'> | undefined
  /** A front end that requests for some hosts and listeners go to. */
  readonly s3: S3Front | undefined
  readonly s3Domains: Domains
  /** Answers what lies below its prefix, without a router: it serves bytes in small pieces. */
  readonly mounts: MountFront | undefined
  /** Answers what lies below /.portolan/. */
  routing(request: IncomingMessage, response: ServerResponse): void
}

/** How long an Authorization header that was seen on this connection needs no second look: bans hold within it. */
const remembered = 1000

/** Answers one request completely; what went wrong is in `exchange.failed`. */
export async function serve(service: Service, exchange: Exchange): Promise<void> {
  const { request, response, connection } = exchange
  if (service.s3 && isForS3(service, exchange)) {
    exchange.failed = await service.s3.serve(exchange, entranceOf(service))
    return
  }
  try {
    requireSound(exchange)
    if (exchange.hasBody && (request.method === 'GET' || request.method === 'HEAD')) passOver(exchange)
    const target = parseTarget(request.url ?? '')
    const host = target === '*' ? undefined : target.authority
    if (host !== undefined) requireHost(request.headers.host)
    service.hosts.check(host ?? request.headers.host, connection.listener)
    if (target === '*') {
      requireServerWide(request.method)
    } else {
      exchange.path = target.path
      exchange.slash = target.slash
      exchange.query = target.query
    }
    requireOwnSite(service, exchange)
    const { mounts } = service
    if (mounts && isWithin(exchange.path, mounts.prefix)) {
      await mounts.serve(exchange, () => authenticate(service, exchange, 'fuse'))
    } else if (isWithin(exchange.path, ownPrefix as Path) || exchange.path === tapeWellKnown) {
      service.routing(request, response)
      if (!response.closed) await once(response, 'close')
    } else {
      await serveData(service, exchange)
    }
  } catch (thrown) {
    exchange.failed = await sendProblem(exchange, thrown)
  }
}

function isForS3({ s3Domains }: Service, { connection, request }: Exchange): boolean {
  return connection.listener.s3 || s3Domains.labelOf(request.headers.host) !== undefined
}

function entranceOf(service: Service): Entrance {
  return {
    check: (exchange) => {
      const { request, connection } = exchange
      requireSound(exchange)
      if (exchange.hasBody && (request.method === 'GET' || request.method === 'HEAD')) passOver(exchange)
      const { host } = request.headers
      if (service.s3Domains.labelOf(host) === undefined) service.hosts.check(host, connection.listener)
    },
    admit: (exchange, principal) => {
      try {
        return admit(service, exchange, principal, 's3')
      } catch (error) {
        auditRefusal(service, exchange, 's3', StorageError.from(error))
        throw error
      }
    },
    refused: (exchange, error) => auditRefusal(service, exchange, 's3', error),
  }
}

/** The one place where requests of other people's pages are refused, whatever credential the browser adds to them. */
function requireOwnSite(service: Service, exchange: Exchange): void {
  try {
    requireSameOrigin(exchange)
  } catch (error) {
    auditRefusal(service, exchange, 'http', StorageError.from(error))
    throw error
  }
}

/** The body of a GET means nothing (RFC 9110, section 9.3.1). One that is long, or held back, ends the connection. */
function passOver({ request, response, awaitsContinue }: Exchange): void {
  const length = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY)
  if (awaitsContinue || length > worthReading) response.shouldKeepAlive = false
  request.resume()
}

function requireServerWide(method: string | undefined): void {
  if (method !== 'OPTIONS') throw new StorageError('invalid', 'only OPTIONS can be asked of the server as a whole')
}

async function serveData(service: Service, exchange: Exchange): Promise<void> {
  const name = exchange.request.method ?? ''
  const { methods } = service.data
  const method: Method | undefined = Object.hasOwn(methods, name) ? methods[name] : undefined
  if (!method) {
    const headers = ['Allow', Object.keys(methods).join(', ')]
    throw new HttpError(405, 'unsupported', 'this method is not offered here', { headers })
  }
  exchange.action = method.action
  exchange.statusOf = (code) => service.data.statusOf(name, code)
  exchange.rendered = (error, problem) => service.data.problem?.(exchange, error, problem)
  const isWelcome = method.open === 'welcome' && exchange.request.headers.authorization !== undefined
  if (!method.open || isWelcome) await authenticate(service, exchange, 'http')
  if (isFollowed(exchange) && (await sendToCleanUrl(exchange, exchange.principal))) return
  await method.run(exchange)
}

/**
 * Finds out who is calling and begins the call. Throws `unauthenticated` or `denied` for a refused
 * credential, `invalid` for a malformed one, `busy` when the caller has too many connections.
 */
export async function authenticate(service: Service, exchange: Exchange, protocol: Protocol): Promise<Principal> {
  try {
    const principal = await identify(service, exchange, protocol)
    admit(service, exchange, principal, protocol)
    return principal
  } catch (error) {
    auditRefusal(service, exchange, protocol, StorageError.from(error))
    throw asTooMany(error)
  }
}

function admit(service: Service, exchange: Exchange, principal: Principal, protocol: Protocol): Call {
  exchange.principal = principal
  requireAddress(exchange)
  if (principal.session !== undefined) requireOwnPage(exchange)
  service.admission.claim(exchange.connection, ownerOf(principal, exchange.from))
  return exchange.begin(principal, protocol)
}

/** RFC 6585, section 4: it is this caller that has to wait, not the gateway that is busy. */
export function asTooMany(thrown: unknown): unknown {
  if (!(thrown instanceof StorageError)) return thrown
  const { retryAfter = 1 } = thrown
  const reason = StorageError.reasonOf(thrown)
  if (thrown.code !== 'busy' || reason?.rule !== 'attempts') return thrown
  return new HttpError(429, 'busy', thrown.message, { retryAfter, reason })
}

/** There is no call yet that Storage could write down. */
function auditRefusal({ audit }: Service, x: Exchange, door: Protocol, error: StorageError): void {
  audit?.record({
    call: x.id,
    principal: x.principal.id,
    user: x.principal.user,
    door,
    from: x.from,
    action: 'authenticate',
    path: x.path,
    outcome: error.code === 'internal' || error.code === 'unavailable' ? 'failed' : 'refused',
    code: error.code,
    reason: StorageError.reasonOf(error),
    ms: performance.now() - x.started,
  })
}

async function identify(service: Service, exchange: Exchange, protocol: Protocol): Promise<Principal> {
  const { connection, request } = exchange
  const header = request.headers.authorization
  if (header !== undefined) requireOneCredential(exchange.query)
  const inUrl = takeFromQuery(exchange)
  const alone = header === undefined && !inUrl
  const cookies = alone && protocol === 'http' ? fromCookies(exchange) : []
  const session = alone ? sessionCookie(exchange, protocol) : undefined
  const ticket = alone && exchange.door.negotiate ? ticketCookie(exchange) : undefined
  const linked = inUrl ? [inUrl] : cookies
  const shown = certificateOf(exchange)
  if (header !== undefined || linked.length > 0 || session || ticket || shown) requirePrivacy(exchange)
  const token = negotiateToken(header)
  // Good for this request alone, whoever sends the next one on this connection.
  if (token) return showTicket(service.identity.kerberos, exchange, token)
  const key = besides(exchange, shown, header ?? keyOf(linked, session, ticket))
  const known = connection.authenticated
  if (known && known.header === key && Date.now() < known.until) return known.principal
  const principal =
    cookies.length > 0 || session || ticket
      ? await byCookies(service, exchange, cookies, [session, ticket])
      : await byCredential(service, exchange, header, inUrl)
  connection.authenticated = { header: key, principal, until: goodUntil(principal) }
  return principal
}

/** What was shown besides an Authorization header; no header can look like it. */
function keyOf(linked: readonly Secret[], session: Secret | undefined, ticket: Secret | undefined): string | undefined {
  if (linked.length === 0 && session === undefined && ticket === undefined) return undefined
  return `\n${linked.map((token) => token.reveal()).join(' ')}\n${session?.reveal() ?? ''}\n${ticket?.reveal() ?? ''}`
}

/** Many have certificates on one connection of a proxy's; and one of a browser's is used for pages of all sites. */
function besides(
  exchange: Exchange,
  shown: ClientCertificate | undefined,
  key: string | undefined,
): string | undefined {
  return shown === undefined ? key : `${key ?? ''}\n\n${shown.thumbprint} ${mayBeCertified(exchange)}`
}

function byCredential(
  { identity }: Service,
  exchange: Exchange,
  header: string | undefined,
  inUrl: Secret | undefined,
) {
  if (inUrl) return identity.authenticate({ kind: 'bearer', token: inUrl, ...shownWith(exchange) })
  const credential = parseAuthorization(header)
  switch (credential.kind) {
    case 'none':
      return identity.authenticate(withoutHeader(exchange))
    case 'bearer':
      return identity.authenticate({ ...credential, ...shownWith(exchange) })
    case 'basic':
      // Guessing passwords is slowed down for each account and address.
      return identity.authenticate({ ...credential, from: exchange.from })
    default:
      return identity.authenticate(credential)
  }
}

/** Whatever else a request says of its caller goes before the certificate of its connection. */
function withoutHeader(exchange: Exchange): Credential {
  const certificate = certificateOf(exchange)
  return certificate && mayBeCertified(exchange) ? { kind: 'certificate', certificate } : { kind: 'none' }
}

/** The link that led here goes before the session: it may open what its visitor may not. One that is not good any more is as good as none. */
async function byCookies(
  { identity }: Service,
  exchange: Exchange,
  links: readonly Secret[],
  [session, ticket]: readonly [session: Secret | undefined, ticket: Secret | undefined],
): Promise<Principal> {
  const credentials: Credential[] = links.map((token) => ({ kind: 'bearer', token, ...shownWith(exchange) }))
  if (session) credentials.push({ kind: 'session', secret: session })
  if (ticket) credentials.push({ kind: 'ticket', secret: ticket })
  for (const credential of credentials) {
    try {
      return await identity.authenticate(credential)
    } catch (error) {
      const { code } = StorageError.from(error)
      if (code !== 'unauthenticated' && code !== 'denied') throw error
    }
  }
  return identity.authenticate(withoutHeader(exchange))
}

function requireAddress({ principal, from }: Exchange): void {
  if (principal.addresses?.includes(from) !== false) return
  throw new StorageError('denied', 'the credential is not for this address', {
    reason: { rule: 'address', text: 'the credential is for other addresses than the caller has' },
  })
}

/** Throws `denied` where what the caller sends can be read on the way. */
export function requirePrivacy({ isPrivate }: Exchange): void {
  if (isPrivate) return
  throw new StorageError('denied', 'a credential was sent over a connection that can be read on the way', {
    reason: { rule: 'plain-http', text: 'credentials are accepted over TLS only' },
  })
}

function goodUntil({ expires }: Principal): number {
  const soon = Date.now() + remembered
  return expires === undefined ? soon : Math.min(soon, expires * 1000)
}
