/** What is below /.portolan/uploads/: uploads that are under way, and where tus makes new ones. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { sendProblem } from '../http/problem.ts'
import type { RouteDoor } from '../http/routes.ts'
import { isSomebody, mediaType, uploadsPrefix } from './fields.ts'
import { aim, type UploadsOptions } from './finishing.ts'
import { append, cancel, describe, startPosted } from './resumable.ts'
import { parseMetadata, targetOf } from './target.ts'
import { offsetStream, serveTus } from './tus.ts'

const methods = ['OPTIONS', 'HEAD', 'GET', 'POST', 'PATCH', 'DELETE'] as const
type Method = (typeof methods)[number]

/** Ids are made by the core; what cannot be one is not asked for. */
const idGrammar = /^[A-Za-z0-9_-]{16,64}$/

/** For the door's option `routes`. */
export function createUploads(options: UploadsOptions): (app: FastifyInstance, door: RouteDoor) => void {
  return (app, door) => {
    app.register(async (scope) => {
      // Bodies are read by whom they are for, and not before it is known who sends them.
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('*', async () => undefined)
      for (const url of [uploadsPrefix, `${uploadsPrefix}/*`]) {
        scope.all(url, { exposeHeadRoute: false }, async (request, reply) => {
          reply.hijack()
          const x = door.exchangeOf(request)
          try {
            await serveUpload(options, await known(door, request), request)
          } catch (error) {
            x.failed = await sendProblem(x, translated(error))
          }
        })
      }
    })
  }
}

async function known(door: RouteDoor, request: FastifyRequest): Promise<Exchange> {
  // tus 1.0: in every answer, whatever it says.
  if (isTus(door.exchangeOf(request))) door.exchangeOf(request).response.setHeader('Tus-Resumable', '1.0.0')
  return door.authenticate(request)
}

async function serveUpload(options: UploadsOptions, x: Exchange, request: FastifyRequest): Promise<void> {
  if (!isSomebody(x)) throw new StorageError('unauthenticated', 'uploads under way belong to somebody')
  const method = methodOf(x, request.method)
  if (method === 'OPTIONS') return serveTus(options, x, method)
  if (method === 'POST') return create(options, x)
  const id = x.path.slice(uploadsPrefix.length + 1)
  if (!idGrammar.test(id)) throw new StorageError('not-found', 'there is no such upload')
  const tus = isTus(x) || (method === 'PATCH' && mediaType(x) === offsetStream)
  if (method === 'PATCH') return tus ? serveTus(options, x, method, id) : append(options, x, id)
  if (method === 'DELETE') return tus ? serveTus(options, x, method, id) : cancel(x, id)
  return tus ? serveTus(options, x, 'HEAD', id) : describe(x, id)
}

async function create(options: UploadsOptions, x: Exchange): Promise<void> {
  const { headers } = x.request
  if (isTus(x) || headers['upload-complete'] === undefined) return serveTus(options, x, 'POST')
  aim(x, targetOf(x, parseMetadata(headers['upload-metadata'])))
  await startPosted(options, x)
}

function isTus({ request }: Exchange): boolean {
  return request.headers['tus-resumable'] !== undefined
}

/** tus 1.0, extension Expiration, and the draft: 410 for what was there, as long as that is known. */
function translated(error: unknown): unknown {
  if (!(error instanceof StorageError) || StorageError.reasonOf(error)?.rule !== 'expired') return error
  return new HttpError(410, 'not-found', 'the upload has expired')
}

/** Throws 405. Where only GET and POST get through, X-HTTP-Method-Override says what is meant (tus 1.0). */
function methodOf(x: Exchange, name: string): Method {
  const told = name === 'POST' && isTus(x) ? x.request.headers['x-http-method-override'] : undefined
  const method = methods.find((each) => each === (told ?? name))
  if (method) return method
  throw new HttpError(405, 'unsupported', 'this method is not offered here', { headers: ['Allow', methods.join(', ')] })
}
