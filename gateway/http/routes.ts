/** What routes below /.portolan/ may rely on, whoever registers them. */

import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { StorageError } from '../core/errors.ts'
import { HttpError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { sendProblem } from './problem.ts'
import { receiveWhole } from './receive.ts'
import { authenticate, type Service } from './serve.ts'

/** The door, as routes see it. */
export interface RouteDoor {
  /** The exchange that a request belongs to; it has an id and a path of its own, and no caller yet. */
  exchangeOf(request: FastifyRequest): Exchange
  /**
   * The same, with the caller established. Throws `unauthenticated` or `denied` for a refused
   * credential, `invalid` for a malformed one, `busy` for a caller with too many connections.
   */
  authenticate(request: FastifyRequest): Promise<Exchange>
}

/** Larger bodies are refused where a route says nothing else; an ACL with all its entries fits. */
const maxBody = 1024 * 1024

/** Problem documents for every failure, bodies as bytes, nothing parsed that no route asked for. */
export function prepareRoutes(
  app: FastifyInstance,
  service: Service,
  exchanges: WeakMap<IncomingMessage, Exchange>,
): RouteDoor {
  const exchangeOf = (request: FastifyRequest): Exchange => {
    const exchange = exchanges.get(request.raw)
    if (!exchange) throw new StorageError('internal', 'a request that did not come through the door')
    return exchange
  }
  const known = async (request: FastifyRequest): Promise<Exchange> => {
    const exchange = exchangeOf(request)
    if (!exchange.begun) await authenticate(service, exchange, 'api')
    return exchange
  }
  app.removeAllContentTypeParsers()
  // Nobody's body is asked for, or read, before it is known who sends it.
  app.addContentTypeParser('*', async (request: FastifyRequest) => {
    if (request.is404) return undefined
    return receiveWhole(await known(request), Math.max(maxBody, request.routeOptions.bodyLimit ?? 0))
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('X-Request-Id', exchangeOf(request).id)
    reply.header('Cache-Control', 'no-store')
    reply.header('X-Content-Type-Options', 'nosniff')
  })
  const offered: Offered[] = []
  app.addHook('onRoute', ({ method, url }) => void offered.push({ methods: [method].flat(), parts: url.split('/') }))
  app.setNotFoundHandler(async (request, reply) => {
    reply.hijack()
    const exchange = exchangeOf(request)
    exchange.failed = await sendProblem(exchange, missing(offered, exchange))
  })
  app.setErrorHandler(async (error, request, reply) => {
    reply.hijack()
    const exchange = exchangeOf(request)
    exchange.failed = await sendProblem(exchange, translated(error))
  })
  return { exchangeOf, authenticate: known }
}

/** A route: where `:name` stands for one segment and `*` for all that follow. */
interface Offered {
  readonly methods: readonly string[]
  readonly parts: readonly string[]
}

/** RFC 9110, section 15.5.6: a method that is not offered says which are. */
function missing(offered: readonly Offered[], { path, slash }: Exchange): StorageError {
  const asked = (slash ? `${path}/` : path).split('/')
  const methods = new Set(offered.filter(({ parts }) => leadsTo(parts, asked)).flatMap((route) => route.methods))
  if (methods.size === 0) return new StorageError('not-found', 'no such resource')
  return new HttpError(405, 'unsupported', 'this method is not offered here', {
    headers: ['Allow', [...methods].join(', ')],
  })
}

function leadsTo(parts: readonly string[], asked: readonly string[]): boolean {
  const isOpen = parts.at(-1) === '*'
  if (isOpen ? asked.length < parts.length : asked.length !== parts.length) return false
  return parts.every((part, at) => part === '*' || part === asked[at] || (part.startsWith(':') && asked[at] !== ''))
}

/** Fastify's own refusals (limits, schemas) carry a status; what carries none is a bug. */
function translated(error: unknown): unknown {
  if (error instanceof StorageError) return error
  const status = statusOf(error)
  if (status === 413) return new StorageError('too-large', 'the body is too large')
  if (status === 415) return new HttpError(415, 'unsupported', 'this media type is not understood')
  if (status < 400 || status >= 500) return error
  return new StorageError('invalid', 'the request does not follow the schema', { cause: error })
}

function statusOf(error: unknown): number {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return 500
  return typeof error.statusCode === 'number' ? error.statusCode : 500
}
