/**
 * Resource "tape" of the frontend and where to find it (WLCG Tape REST API v1; user guide, Frontend, "tape").
 *
 * As dCache does it: times are milliseconds, a file has a `state` and never `onDisk`, unknown members of a
 * stage request are refused, a release is always fine.
 */

import { bodyObject, textsOf } from './bodies.ts'
import type { BulkRequest, BulkTarget, TargetState } from './bulk.ts'
import { Failure } from './failure.ts'
import { json, type RestCall } from './frontend.ts'
import { durationOf } from './macaroons.ts'
import type { Answer } from './serving.ts'
import type { FileLocality } from './tape.ts'

export async function tapeResource(call: RestCall): Promise<Answer> {
  const { ask, rest } = call
  const [, name = '', id = '', act = ''] = rest.split('/')
  if (ask.method === 'POST' && name === 'stage' && id === '') return await stage(call)
  if (ask.method === 'POST' && name === 'stage' && act === 'cancel') return await cancel(call, id)
  if (ask.method === 'GET' && name === 'stage') return json(200, progress(call.site.bulk.get(call.login, id, 'STAGE')))
  if (ask.method === 'DELETE' && name === 'stage') {
    call.site.bulk.clear(call.site.bulk.get(call.login, id, 'STAGE'), true)
    return { status: 200 }
  }
  if (ask.method === 'POST' && name === 'release') return await release(call, id)
  if (ask.method === 'POST' && name === 'archiveinfo') return await archiveInfo(call)
  throw new Failure('missing', 'HTTP 404 Not Found')
}

/** `/.well-known/wlcg-tape-rest-api`. */
export async function wellKnownResource({ rest, base }: RestCall): Promise<Answer> {
  if (rest !== '/.well-known/wlcg-tape-rest-api') throw new Failure('missing', 'HTTP 404 Not Found')
  return json(200, {
    sitename: 'dcache-double',
    description: 'A stand-in for dCache',
    endpoints: [{ uri: `${base}/tape`, version: 'v1', metadata: {} }],
  })
}

async function stage({ site, ask, login, base }: RestCall): Promise<Answer> {
  const { files, ...others } = await bodyObject(ask)
  if (!Array.isArray(files) || files.length === 0) throw new Failure('bad-request', 'request contains no files.')
  const unknown = Object.keys(others)
  if (unknown.length > 0)
    throw new Failure('bad-request', `unrecognized payload element(s): ${JSON.stringify(unknown)}`)
  const lifetimes = new Map<string, number>()
  const targets: string[] = []
  for (const file of files as Readonly<Record<string, unknown>>[]) {
    const path = file.path
    if (typeof path !== 'string') throw new Failure('bad-request', 'file object contains no path.')
    targets.push(path)
    if (typeof file.diskLifetime === 'string') lifetimes.set(path, durationOf(file.diskLifetime))
  }
  const request = site.bulk.submit(login, {
    activity: 'STAGE',
    targets,
    arguments: {},
    lifetimes,
    expand: 'NONE',
    clearOnSuccess: false,
    clearOnFailure: false,
    cancelOnFailure: false,
  })
  return json(201, { requestId: request.id }, { Location: `${base}/tape/stage/${request.id}` })
}

async function cancel({ site, ask, login }: RestCall, id: string): Promise<Answer> {
  const paths = textsOf(await bodyObject(ask), 'paths')
  const request = site.bulk.get(login, id, 'STAGE')
  try {
    site.bulk.cancel(request, paths)
    return { status: 200 }
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'bad-request') throw error
    return { status: 400, headers: { title: 'File missing from stage request', detail: error.message } }
  }
}

const states: Readonly<Record<TargetState, string>> = {
  CREATED: 'SUBMITTED',
  RUNNING: 'STARTED',
  COMPLETED: 'COMPLETED',
  CANCELLED: 'CANCELLED',
  FAILED: 'FAILED',
  SKIPPED: 'FAILED',
}

function progress(request: BulkRequest): unknown {
  return {
    id: request.id,
    createdAt: request.arrivedAt,
    startedAt: request.startedAt ?? request.arrivedAt,
    ...(request.status === 'COMPLETED' || request.status === 'CANCELLED' ? { completedAt: request.lastModified } : {}),
    files: request.targets.map(fileOf),
  }
}

function fileOf({ path, state, startedAt, finishedAt, error }: BulkTarget): unknown {
  return { path, state: states[state], startedAt: startedAt ?? finishedAt, finishedAt, error }
}

/** Ends the pins of that request on those files; whatever is wrong with it is not told. */
async function release({ site, ask, login }: RestCall, id: string): Promise<Answer> {
  const paths = textsOf(await bodyObject(ask), 'paths')
  site.bulk.submit(login, {
    activity: 'RELEASE',
    targets: paths,
    arguments: { id },
    expand: 'NONE',
    clearOnSuccess: true,
    clearOnFailure: true,
    cancelOnFailure: true,
  })
  return { status: 200 }
}

const localities: Readonly<Record<FileLocality, string>> = {
  ONLINE: 'DISK',
  NEARLINE: 'TAPE',
  ONLINE_AND_NEARLINE: 'DISK_AND_TAPE',
  UNAVAILABLE: 'UNAVAILABLE',
  LOST: 'LOST',
  NONE: 'NONE',
}

/** Paths beyond the limit are left out without a word. */
async function archiveInfo({ site, ask, login }: RestCall): Promise<Answer> {
  const request = await bodyObject(ask)
  if (request.paths === undefined) throw new Failure('bad-request', 'request had no paths.')
  const paths = textsOf(request, 'paths').slice(0, site.options.maxArchiveInfo)
  const infos = paths.map((path) => {
    try {
      return { path, locality: localities[site.tape.locality(site.gate.get(login, site.gate.resolve(login, path)))] }
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      return { path, error: `CacheException(rc=10001;msg=${error.message})` }
    }
  })
  return json(200, infos)
}
