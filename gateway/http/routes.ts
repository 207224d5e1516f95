/** What routes below /.portolan/ may rely on, whoever registers them. */

import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { StorageError } from '../core/errors.ts'
import { HttpError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { sendProblem } from './problem.ts'
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
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.addHook('onRequest', async (request, reply) => {
    reply.header('X-Request-Id', exchangeOf(request).id)
    reply.header('Cache-Control', 'no-store')
    reply.header('X-Content-Type-Options', 'nosniff')
  })
  app.setNotFoundHandler(async (request, reply) => {
    reply.hijack()
    await sendProblem(exchangeOf(request), new StorageError('not-found', 'no such resource'))
  })
  app.setErrorHandler(async (error, request, reply) => {
    reply.hijack()
    const exchange = exchangeOf(request)
    exchange.failed = await sendProblem(exchange, translated(error))
  })
  return {
    exchangeOf,
    authenticate: async (request) => {
      const exchange = exchangeOf(request)
      await authenticate(service, exchange, 'api')
      return exchange
    },
  }
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
