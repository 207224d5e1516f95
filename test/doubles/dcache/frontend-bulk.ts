/** Resource "bulk-requests" of the frontend (user guide, Frontend, "bulk-requests"; the dCache Book, "Bulk"). */

import { bodyObject, textOf, textsOf } from './bodies.ts'
import { type BulkActivity, type BulkOrder, type BulkRequest, isDone } from './bulk.ts'
import { Failure } from './failure.ts'
import { json, type RestCall } from './frontend.ts'
import type { Answer } from './serving.ts'

/** Entries of one answer. */
const page = 10_000

const activities: readonly BulkActivity[] = ['STAGE', 'RELEASE', 'PIN', 'UNPIN', 'DELETE', 'UPDATE_QOS', 'LOG_TARGET']

export async function bulkResource(call: RestCall): Promise<Answer> {
  const { site, ask, login, rest, base } = call
  const { bulk } = site
  const id = decodeURIComponent(rest.slice(1))
  if (id === '') {
    if (ask.method === 'GET') return json(200, list(call))
    if (ask.method !== 'POST') throw new Failure('unsupported', 'HTTP 405 Method Not Allowed')
    const request = bulk.submit(login, orderOf(await bodyObject(ask)))
    return {
      status: 201,
      headers: { 'Content-Type': 'application/json', 'request-url': `${base}/bulk-requests/${request.id}` },
    }
  }
  const request = bulk.get(login, id)
  switch (ask.method) {
    case 'GET':
      return json(200, describe(request, Number(ask.url.searchParams.get('offset') ?? 0)))
    case 'PATCH': {
      const change = await bodyObject(ask)
      if (change.action === undefined) throw new Failure('bad-request', 'no action provided.')
      const action = textOf(change, 'action')
      if (action.toLowerCase() !== 'cancel') throw new Failure('bad-request', `${action} not supported.`)
      bulk.cancel(request, change.paths === undefined ? undefined : textsOf(change, 'paths'))
      return { status: 200 }
    }
    case 'DELETE':
      bulk.clear(request, ask.url.searchParams.get('cancelIfRunning') === 'true')
      return { status: 204 }
    default:
      throw new Failure('unsupported', 'HTTP 405 Method Not Allowed')
  }
}

function list({ site, ask, base }: RestCall): unknown {
  const query = ask.url.searchParams
  const statuses = query.get('status')?.toUpperCase().split(',')
  const owners = query.get('owner')?.split(',')
  const path = query.get('path')
  return site.bulk
    .list()
    .filter((request) => request.sequence >= Number(query.get('offset') ?? 0))
    .filter(({ status }) => statuses?.includes(status) ?? true)
    .filter(({ owner }) => owners?.includes(`${owner.uid}:${owner.gids[0]}`) ?? true)
    .filter(({ targets }) => path === null || targets.some((target) => target.path === path))
    .slice(0, page)
    .map(({ id, sequence, order, status }) => ({
      seqNo: sequence,
      requestId: id,
      requestUrl: `${base}/bulk-requests/${id}`,
      activity: order.activity,
      status,
    }))
}

function describe(request: BulkRequest, offset: number): unknown {
  const { targets } = request
  return {
    nextId: offset + page < targets.length ? offset + page : -1,
    id: request.id,
    arrivedAt: request.arrivedAt,
    startedAt: request.startedAt,
    lastModified: request.lastModified,
    status: request.status,
    targetPrefix: '/',
    targets: targets.slice(offset, offset + page).map((target, index) => ({
      seqNo: offset + index,
      target: target.path,
      state: target.state,
      submittedAt: target.submittedAt,
      startedAt: target.startedAt,
      finishedAt: target.finishedAt,
      ...(target.error === undefined ? {} : { errorType: 'CacheException', errorMessage: target.error }),
    })),
    ...(isDone(request) ? { completedAt: request.lastModified } : {}),
  }
}

/** Members are accepted in snake, kebab and camel spelling; what is left over is refused. */
function orderOf(body: Readonly<Record<string, unknown>>): BulkOrder {
  const left = new Map(Object.entries(body).map(([name, value]) => [snake(name), value] as const))
  const take = (name: string) => {
    const value = left.get(name)
    left.delete(name)
    return value
  }
  const target = take('target')
  const targets =
    typeof target === 'string' ? target.replace(/["\s[\]]/g, '').split(',') : (target as string[] | undefined)
  if (!Array.isArray(targets) || targets.length === 0) throw new Failure('bad-request', 'request contains no targets.')
  const prefix = String(take('target_prefix') ?? '')
  const name = take('activity')
  const activity = activities.find((known) => known === name)
  if (!activity) throw new Failure('bad-request', `unknown activity ${name}`)
  const expand = String(take('expand_directories') ?? 'NONE').toUpperCase()
  if (expand !== 'NONE' && expand !== 'TARGETS' && expand !== 'ALL') throw new Failure('bad-request', 'bad depth')
  const given = (take('arguments') ?? {}) as Record<string, unknown>
  take('pre_store')
  const order: BulkOrder = {
    activity,
    targets: targets.map((path) => (prefix === '' || path.startsWith(prefix) ? path : `${prefix}/${path}`)),
    arguments: Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)])),
    expand,
    clearOnSuccess: String(take('clear_on_success')) === 'true',
    clearOnFailure: String(take('clear_on_failure')) === 'true',
    cancelOnFailure: String(take('cancel_on_failure')) === 'true',
  }
  if (left.size > 0) throw new Failure('bad-request', `unsupported arguments: ${[...left.keys()]}`)
  return order
}

function snake(name: string): string {
  return name.replace(/-/g, '_').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
