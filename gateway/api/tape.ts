/** The WLCG Tape REST API v1 over the staging queue, and where clients find it. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Exchange } from '../http/exchange.ts'
import { apiPrefix } from '../http/problem.ts'
import { parseQuery } from '../http/query.ts'
import { BodyBudget } from './body-budget.ts'
import type { ApiContext, ApiHandler, ApiRoute } from './routes.ts'
import { archiveInfoOf, readAnyPaths, readIdempotencyKey, readPaths, readWishes, statusOf } from './tape-bodies.ts'

/** Bytes of one body: room for more files than one request takes, unless their paths are very long. */
const maxBody = 16 * 1024 * 1024
/** Bytes of bodies that one process holds at once, and one caller of them. */
const heldBodies = 64 * 1024 * 1024
const heldByOne = 24 * 1024 * 1024

/** A caller may be narrowly bound; which of the paths shows what he may is for `explain`. */
function begin(exchange: Exchange, action: 'stage' | 'locality', path: Path | undefined): void {
  exchange.action = action
  if (path !== undefined) exchange.path = path
}

async function callerOf({ door }: ApiContext, request: FastifyRequest): Promise<Exchange> {
  const exchange = await door.authenticate(request)
  parseQuery(exchange.query, [])
  return exchange
}

function idOf({ params }: FastifyRequest): string {
  const { id } = params as { readonly id?: string }
  if (id === undefined || !/^[0-9A-Za-z-]{1,64}$/.test(id)) throw new StorageError('not-found', 'no such request')
  return id
}

const stage: ApiHandler = async (context, request, reply) => {
  const exchange = await callerOf(context, request)
  const wishes = readWishes(request.headers['content-type'], request.body)
  const key = readIdempotencyKey(request.headers['idempotency-key'])
  begin(exchange, 'stage', wishes[0]?.path)
  const id = await context.storage.staging.stage(exchange.call, wishes, key === undefined ? {} : { key })
  reply.code(201).header('Location', `${context.publicUrl}${apiPrefix}/tape/stage/${id}`)
  return { requestId: id }
}

const status: ApiHandler = async (context, request) => {
  const exchange = await callerOf(context, request)
  return statusOf(await context.storage.staging.progress(exchange.call, idOf(request)))
}

const cancel: ApiHandler = async (context, request, reply) => {
  const exchange = await callerOf(context, request)
  const paths = readPaths(request.headers['content-type'], request.body)
  await context.storage.staging.cancel(exchange.call, idOf(request), paths)
  return done(reply)
}

const forget: ApiHandler = async (context, request, reply) => {
  const exchange = await callerOf(context, request)
  await context.storage.staging.forget(exchange.call, idOf(request))
  return done(reply)
}

const release: ApiHandler = async (context, request, reply) => {
  const exchange = await callerOf(context, request)
  const paths = readPaths(request.headers['content-type'], request.body)
  await context.storage.staging.release(exchange.call, idOf(request), paths)
  return done(reply)
}

const archiveInfo: ApiHandler = async (context, request) => {
  const exchange = await callerOf(context, request)
  const sent = readAnyPaths(request.headers['content-type'], request.body)
  const paths = sent.flatMap(({ path }) => (path instanceof StorageError ? [] : [path]))
  begin(exchange, 'locality', paths[0])
  const answers = (await context.storage.locality(exchange.call, paths)).values()
  return sent.map(({ text, path }) => {
    const answer = path instanceof StorageError ? path : answers.next().value
    return archiveInfoOf(text, answer ?? new StorageError('internal', 'a path got no answer'))
  })
}

function done(reply: FastifyReply): FastifyReply {
  return reply.code(200).send('')
}

/** The routes of the interface; `budget` bounds what their bodies take together. */
export function tapeRoutes(budget = new BodyBudget(heldBodies, heldByOne)): readonly ApiRoute[] {
  const body = { limit: maxBody, budget }
  return [
    { method: 'POST', path: '/tape/stage', handler: stage, body },
    { method: 'GET', path: '/tape/stage/{id}', handler: status },
    { method: 'DELETE', path: '/tape/stage/{id}', handler: forget },
    { method: 'POST', path: '/tape/stage/{id}/cancel', handler: cancel, body },
    { method: 'POST', path: '/tape/release/{id}', handler: release, body },
    { method: 'POST', path: '/tape/archiveinfo', handler: archiveInfo, body },
  ]
}

/** The document at /.well-known/wlcg-tape-rest-api. */
export function tapeDiscovery({ publicUrl, sitename }: Pick<ApiContext, 'publicUrl' | 'sitename'>) {
  return {
    sitename: sitename ?? new URL(publicUrl).hostname,
    description: 'Portolan: files on tape, in every part of the namespace that has some',
    endpoints: [{ uri: `${publicUrl}${apiPrefix}/tape`, version: 'v1', metadata: {} }],
  }
}
