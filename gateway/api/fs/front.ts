/** Everything below /.portolan/fs/v1: what mounts speak with the gateway (docs/fs-api.md). */

import type { Principal } from '../../../acl/principal.ts'
import { StorageError } from '../../core/errors.ts'
import type { Path } from '../../core/path.ts'
import type { StorageOperations } from '../../core/storage.ts'
import { HttpError } from '../../http/errors.ts'
import type { Exchange } from '../../http/exchange.ts'
import type { MountFront } from '../../http/options.ts'
import { respond } from '../../http/respond.ts'
import { Pacing } from '../pace.ts'
import { withBody } from './body.ts'
import type { Asked, FsContext } from './context.ts'
import { dataQuery, getData, putData } from './data.ts'
import { sendEvents } from './events.ts'
import { defaultMountLimits, largest, largestPage, type MountLimits } from './limits.ts'
import { type Members, membersOf } from './members.ts'
import { JsonText, type Operation } from './operations/operation.ts'
import { operations } from './operations/table.ts'
import { lockNameOf } from './session.ts'
import { type ProcessNames, Sessions, sessionOver } from './sessions.ts'

export const fsPrefix = '/.portolan/fs/v1' as Path

/** A body of an operation: an ACL with all its entries, or the value of an attribute, fits. */
const maxBody = 1024 * 1024
const version = 1
const jsonType = ['Content-Type', 'application/json', 'Cache-Control', 'no-store']

export interface FsFrontOptions {
  readonly storage: StorageOperations
  readonly isRevoked?: (principal: Principal) => boolean
  readonly limits?: Partial<MountLimits>
  /** Processes of this gateway. */
  readonly workers: number
  /** Questions about rights of one caller in a minute. */
  readonly explainPerMinute?: number
  /** Without them nothing is known of the gateway's other processes. */
  readonly names?: ProcessNames | undefined
  /** Names this start of the machine; undefined where it cannot be told. */
  readonly boot?: string | undefined
}

/** For the door's option `mounts`. */
export function createFsFront(options: FsFrontOptions): MountFront {
  const { isRevoked = () => false } = options
  const context: FsContext = {
    storage: options.storage,
    sessions: new Sessions({
      limits: { ...defaultMountLimits, ...options.limits },
      names: options.names,
      isRevoked,
      unlock: (lockName) => options.storage.byteLocks.releaseAll(lockName),
      onLockLoss: (lost) => options.storage.byteLocks.onLost(lost),
    }),
    workers: options.workers,
    boot: options.boot,
    pacing: new Pacing({ perMinute: options.explainPerMinute ?? 120 }),
  }
  return {
    prefix: fsPrefix,
    async serve(x, authenticate) {
      try {
        await authenticate()
        await route(context, x)
      } catch (error) {
        if (!x.response.headersSent) x.response.setHeader('Portolan-Worker', context.sessions.worker)
        throw error
      }
    },
    close: () => context.sessions.close(),
  }
}

async function route(context: FsContext, x: Exchange): Promise<void> {
  const what = x.slash ? undefined : x.path.slice(fsPrefix.length + 1)
  const { method } = x.request
  if (what === 'data') {
    const query = dataQuery(x)
    if (requireMethod(method, ['GET', 'PUT']) === 'PUT') return within(context, x, (asked) => putData(asked, query))
    return within(context, x, (asked) => getData(asked, query))
  }
  const name = what?.startsWith('op/') ? what.slice(3) : undefined
  if (name !== undefined) {
    const operation = operations.get(name)
    if (!operation) throw new StorageError('not-found', 'no such operation')
    requireMethod(method, ['POST'])
    return within(context, x, (asked) => operate(asked, name, operation))
  }
  if (what === 'session') {
    if (requireMethod(method, ['POST', 'DELETE']) === 'POST') return begin(context, x)
    return within(context, x, end)
  }
  if (what !== 'events') throw new StorageError('not-found', 'no such resource')
  requireMethod(method, ['GET'])
  return within(context, x, sendEvents)
}

/** Throws 405. */
function requireMethod(method: string | undefined, offered: readonly string[]): string {
  const found = offered.find((each) => each === method)
  if (found) return found
  const headers = ['Allow', offered.join(', ')]
  throw new HttpError(405, 'unsupported', 'this method is not offered here', { headers })
}

async function within(context: FsContext, x: Exchange, work: (asked: Asked) => Promise<void>): Promise<void> {
  const session = context.sessions.find(x)
  const leave = session.enter(x)
  try {
    await work({ context, session, x })
  } catch (error) {
    const { code } = StorageError.from(error)
    // Its files were closed under the request: another session may open them anew.
    const isOver = session.signal.aborted && !x.ended && (code === 'stale' || code === 'cancelled')
    throw isOver ? sessionOver() : error
  } finally {
    leave()
  }
}

async function begin(context: FsContext, x: Exchange): Promise<void> {
  const members = await readMembers(x)
  const versions = members.list('versions', 100)
  // For whoever reads the log of the door.
  members.text('client', 200)
  const previous = members.optionalText('previous')
  members.end()
  if (!versions.includes(version)) throw new HttpError(400, 'unsupported', `version ${version} is spoken here`)
  const { sessions, storage, workers, boot } = context
  const session = sessions.create(x)
  const { user } = x.principal
  const adopted = previous === undefined ? 0 : await adopt(storage, x, previous, session.lockName)
  if (adopted > 0) session.hasLocked = true
  const told = {
    ...{ version, session: session.id, worker: sessions.worker, workers, lease: sessions.lease, user: user ?? null },
    ...{ largest, page: largestPage, adopted },
    ...(boot !== undefined && { boot }),
  }
  await respond(x, 201, [...jsonType, 'Portolan-Worker', sessions.worker], JSON.stringify(told))
}

/** Locks of a session whose process is gone. */
async function adopt(storage: StorageOperations, x: Exchange, previous: string, lockName: string): Promise<number> {
  if (!storage.byteLocks.available) return 0
  return storage.byteLocks.adopt(x.call, lockNameOf(previous), lockName)
}

async function end({ context, session, x }: Asked): Promise<void> {
  await context.sessions.end(session)
  await respond(x, 204, ['Portolan-Worker', context.sessions.worker])
}

async function operate(asked: Asked, name: string, operation: Operation): Promise<void> {
  const { context, x } = asked
  requireJson(x)
  x.action = operation.action
  const told = await withBody(x, maxBody, Buffer.allocUnsafe, (body) => toldBy(asked, name, operation, body))
  const text = told instanceof JsonText ? told.text : JSON.stringify(told)
  await respond(x, 200, [...jsonType, 'Portolan-Worker', context.sessions.worker], text)
}

async function toldBy(asked: Asked, name: string, operation: Operation, body: Buffer): Promise<object> {
  const { session, x } = asked
  const id = operation.once && x.request.headers['portolan-request']
  const isNamed = typeof id === 'string'
  const work = (): Promise<object> => {
    const members = membersOf(body)
    const call = isNamed ? session.lasting(x) : x.call
    const act = operation.prepare(members, { ...asked, call, isNamed })
    members.end()
    return act()
  }
  return isNamed ? session.replies.once(id, name, body, async () => work()) : work()
}

async function readMembers(x: Exchange): Promise<Members> {
  requireJson(x)
  return withBody(x, maxBody, Buffer.allocUnsafe, async (body) => membersOf(body))
}

/** 415 for another media type, so that no form of somebody else's page can send it. */
function requireJson({ request }: Exchange): void {
  const type = request.headers['content-type']
  if (type === 'application/json' || type?.split(';')[0]?.trim().toLowerCase() === 'application/json') return
  throw new HttpError(415, 'unsupported', 'the body is sent as application/json')
}
