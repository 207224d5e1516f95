/**
 * copy: by the door's own COPY to a hidden name, which then takes the target's (RFC 4918, section 9.8). One that goes on
 * past the end of its caller's token is finished like an upload.
 */

import type { Principal } from '../../acl/principal.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CopyingOptions, Entry, PendingMove } from '../backend.ts'
import type { Json } from './attributes.ts'
import { requireCondition } from './creating.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { unavailable } from './errors.ts'
import { inheritFrom } from './keeping.ts'
import { lookAt, lookAtHidden, walk } from './looking.ts'
import { destinationOf, replacedIn, scopeOfMove, takeName } from './moving.ts'
import { finishing } from './outlasting.ts'
import { giveRecord, keptOf, othersOf } from './records.ts'
import { lookAfterMove, requireFile, requireOnDisk, requirePlace, scopeAround, stale, underLease } from './requiring.ts'
import type { StagingArea } from './staging.ts'

/** Milliseconds for each MiB that dCache copies before it answers, beside the door's deadline. */
const patiencePerMiB = 1000

/**
 * Whether a copy for this caller takes the properties along: where dCache decides itself, by the rights of the caller,
 * and the properties are there to be seen.
 */
export function takesProperties(desk: Desk, principal: Principal): boolean {
  return desk.frontend !== undefined && desk.credentials.enforces(principal) && principal.grants === 'unbounded'
}

/** CopyFacet.copy. A file on tape would be recalled by it: that is `nearline`. */
export async function copy(
  desk: Desk,
  area: StagingArea,
  from: Path,
  to: Path,
  options: CopyingOptions,
  call: Call,
): Promise<PendingMove<Entry>> {
  const scope: Scope = {
    ...scopeOfMove(desk, from, to),
    activities: ['DOWNLOAD', 'UPLOAD', 'MANAGE', 'DELETE', 'UPDATE_METADATA'],
  }
  const [trail, target] = await Promise.all([walk(desk, from, scope, call), walk(desk, to, scope, call)])
  const proceed = async () => {
    desk.requireAlive(call)
    const entry = requireFile(trail, from)
    if (options.version !== undefined && options.version !== entry.version) {
      throw new StorageError('precondition', 'the file is not the one that was meant', { path: from })
    }
    requireOnDisk(desk, entry, from)
    requirePlace(desk, target, to)
    replacedIn(target, to)
    const staged = await area.reserve(to)
    const lasting = desk.credentials.outlast(call, finishing, scopeAround(desk, to, []).object)
    try {
      const taken = await lookAtSource(desk, from, entry, options, scope, call)
      await copyBytes(desk, from, staged, entry.size, scope, call)
      const copied = { staged, source: entry, ...taken }
      const made = await underLease(desk, [to], () => commit(desk, copied, to, options, scope, lasting.call))
      await area.strike(staged)
      return made
    } catch (error) {
      await area.drop(staged, scope, lasting.call)
      throw error
    } finally {
      lasting.forget()
    }
  }
  return { trail, target, proceed, release: async () => {} }
}

/** What goes along besides the bytes. */
interface Taken {
  readonly properties: Json
  readonly record: string | undefined
}

/** Throws `stale` where another object has the name. */
async function lookAtSource(
  desk: Desk,
  from: Path,
  entry: Entry,
  options: CopyingOptions,
  scope: Scope,
  call: Call,
): Promise<Taken> {
  const takes = takesProperties(desk, call.principal)
  const seen = await lookAt(desk, from, scope, call, desk.frontend ? { xattr: 'true', checksum: 'true' } : {})
  if (seen?.entry.id !== entry.id) throw stale(from)
  if (desk.frontend && !seen.json && (takes || options.record)) {
    throw unavailable('the storage did not tell what goes along with a file')
  }
  const kept = keptOf(seen)
  return {
    properties: takes ? othersOf(seen.json?.extendedAttributes) : {},
    record: options.record ? options.record(kept) : kept.record,
  }
}

async function copyBytes(desk: Desk, from: Path, to: Path, size: number, scope: Scope, call: Call): Promise<void> {
  const response = await desk.webdav.request({
    method: 'COPY',
    path: desk.inDcache(from),
    headers: { Destination: destinationOf(desk, to), Overwrite: 'F', Depth: '0' },
    call,
    ...scope,
    idempotent: false,
    deadline: desk.webdav.options.deadline + (size / 1024 / 1024) * patiencePerMiB,
  })
  // 202 would be a copy to another server, whose end nobody waits for.
  if (response.status !== 201 && response.status !== 204) throw await refusalOf(response, to)
  response.discard()
}

/** What is there under a hidden name, and what it was made from. */
interface Copied extends Taken {
  readonly staged: Path
  readonly source: Entry
}

async function commit(
  desk: Desk,
  { staged, source, properties, record }: Copied,
  to: Path,
  { condition, decide }: CopyingOptions,
  scope: Scope,
  call: Call,
): Promise<Entry> {
  const trail = await walk(desk, to, scope, call)
  decide(trail)
  requirePlace(desk, trail, to)
  const replaced = replacedIn(trail, to)
  requireCondition(condition, replaced, to)
  const made = await lookAtHidden(desk, staged, scope, call)
  if (made?.entry.size !== source.size) throw stale(to)
  if (replaced) await inheritFrom(desk, to, staged, scope, call)
  if (Object.keys(properties).length > 0) await setProperties(desk, staged, properties, scope, call)
  if (record !== undefined && desk.frontend) {
    await giveRecord(desk, staged, { version: made.entry.version, record }, scope, call)
  }
  desk.requireAlive(call)
  await takeName(desk, staged, to, { entry: made.entry, replaced }, scope, call)
  return lookAfterMove(desk, to, made.entry, scope, call)
}

/** As far as the caller may. */
async function setProperties(desk: Desk, file: Path, attributes: Json, scope: Scope, call: Call): Promise<void> {
  try {
    await desk.change(file, { action: 'set-xattr', mode: 'EITHER', attributes }, scope, call)
  } catch (error) {
    if (StorageError.from(error).code !== 'denied') throw error
  }
}
