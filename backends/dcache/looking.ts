/** walk: what is at a path. */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { join, nameOf, namesOf, type Path, parentOf, root } from '../../gateway/core/path.ts'
import type { Entry, Trail } from '../backend.ts'
import { entryOf, type Json } from './attributes.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { unavailable } from './errors.ts'
import { isReservedPath } from './names.ts'
import { entryOfFound, type Found, PropfindReader, propfindBody } from './propfind.ts'

/** Attributes of one object: the entry, and the frontend's own words where it was asked. */
export interface Seen {
  readonly entry: Entry
  readonly json: Json | undefined
}

/** More that the frontend is asked for. */
export type Extra = Readonly<Record<'xattr' | 'checksum' | 'labels' | 'optional', 'true'>>

/**
 * One object, without the directories above. Undefined where nothing is: what is reserved never is. Never makes a tape
 * move: the frontend and PROPFIND look into the namespace alone.
 */
export async function lookAt(
  desk: Desk,
  path: Path,
  scope: Scope,
  call: Call,
  extra: Partial<Extra> = {},
): Promise<Seen | undefined> {
  desk.requireAlive(call)
  return isReservedPath(desk.inDcache(path)) ? undefined : lookAtHidden(desk, path, scope, call, extra)
}

/** `lookAt` for what is hidden from callers too. */
export async function lookAtHidden(
  desk: Desk,
  path: Path,
  scope: Scope,
  call: Call,
  extra: Partial<Extra> = {},
): Promise<Seen | undefined> {
  desk.requireAlive(call)
  if (!desk.frontend) return byPropfind(desk, path, scope, call)
  const acls = desk.needsAcls(call)
  try {
    return await byRest(desk, path, { ...extra, ...(acls && { optional: 'true' }) }, scope, call)
  } catch (error) {
    // Whoever decides by ACLs needs the frontend; for others the door of the data tells enough.
    if (acls || !(error instanceof StorageError) || error.code !== 'unavailable' || call.signal.aborted) throw error
    return byPropfind(desk, path, scope, call)
  }
}

/**
 * The object and what is above it. Where Storage decides by ACLs all directories are told, at once; where dCache decides
 * itself only as much as says whether there is a parent.
 */
export async function walk(desk: Desk, path: Path, scope: Scope, call: Call, look: Look = lookAt): Promise<Trail> {
  desk.requireAlive(call)
  if (path === root) return { ancestors: [], parentExists: true, entry: (await look(desk, root, scope, call))?.entry }
  return desk.needsAcls(call) ? walkAll(desk, path, scope, call, look) : walkUp(desk, path, scope, call, look)
}

/** `lookAt`, or what comes to the same. */
export type Look = (desk: Desk, path: Path, scope: Scope, call: Call) => Promise<Pick<Seen, 'entry'> | undefined>

async function walkAll(desk: Desk, path: Path, scope: Scope, call: Call, look: Look): Promise<Trail> {
  const above: Path[] = [root]
  for (const name of namesOf(path).slice(0, -1)) above.push(join(above.at(-1) ?? root, name))
  const [seen, ...directories] = await Promise.all(
    [path, ...above].map((place) => look(desk, place, scope, call).catch((error) => failure(error))),
  )
  const ancestors: Entry[] = []
  for (const directory of directories) {
    if (directory && 'failed' in directory) throw directory.failed
    if (directory?.entry.type !== 'directory') break
    ancestors.push(directory.entry)
  }
  const parentExists = ancestors.length === above.length
  // What lies below something that is no directory is nothing, whatever the storage made of the question.
  if (!parentExists) return { ancestors, parentExists, entry: undefined }
  if (seen && 'failed' in seen) throw seen.failed
  return { ancestors, parentExists, entry: seen?.entry }
}

function failure(failed: unknown): { readonly failed: unknown } {
  return { failed }
}

/** Upwards from the object, as far as it takes to meet something. */
async function walkUp(desk: Desk, path: Path, scope: Scope, call: Call, look: Look): Promise<Trail> {
  const seen = await look(desk, path, scope, call)
  if (seen) return { ancestors: [], parentExists: true, entry: seen.entry }
  const parent = await look(desk, parentOf(path), scope, call)
  if (!parent) return { ancestors: [], parentExists: false, entry: undefined }
  return { ancestors: [parent.entry], parentExists: parent.entry.type === 'directory', entry: undefined }
}

async function byRest(
  desk: Desk,
  path: Path,
  extra: Readonly<Record<string, string>>,
  scope: Scope,
  call: Call,
): Promise<Seen | undefined> {
  const request = {
    method: 'GET',
    path: `/namespace${desk.inDcache(path)}`,
    query: { locality: 'true', ...extra },
    idempotent: true,
  } as const
  const response = await desk.rest(request, scope, call)
  if (response.status === 404) {
    response.discard()
    return undefined
  }
  const json = await desk.told(response, path)
  return { entry: entryOf(nameOf(path), json, { acls: desk.needsAcls(call) }), json }
}

async function byPropfind(desk: Desk, path: Path, scope: Scope, call: Call): Promise<Seen | undefined> {
  const found = await propfind(desk, path, propfindBody, scope, call)
  return found && { entry: entryOfFound(found, nameOf(path)), json: undefined }
}

/** One object's properties, by a PROPFIND of depth 0. */
export async function propfind(
  desk: Desk,
  path: Path,
  body: string,
  scope: Scope,
  call: Call,
): Promise<Found | undefined> {
  const place = desk.inDcache(path)
  const response = await desk.webdav.request({
    method: 'PROPFIND',
    path: place,
    headers: { Depth: '0', 'Content-Type': 'application/xml; charset=utf-8' },
    body,
    call,
    ...scope,
    idempotent: true,
  })
  if (response.status === 404) {
    response.discard()
    return undefined
  }
  if (response.status !== 207) throw await refusalOf(response, path)
  const reader = new PropfindReader(desk.webdav.urlOf(place), desk.webdav.url.pathname)
  const found = [...reader.write(await response.bytes()), ...reader.end()].find((one) => one.path === place)
  if (!found) throw unavailable('the storage answered for something else')
  return found
}
