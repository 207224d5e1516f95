/** copy: by the door's own COPY to a hidden name, which then takes the target's (RFC 4918, section 9.8). */

import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CopyFacet, Entry, PendingMove } from '../backend.ts'
import { requireCondition } from './creating.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { inheritFrom } from './keeping.ts'
import { lookAtHidden, walk } from './looking.ts'
import { destinationOf, replacedIn, scopeOfMove, takeName } from './moving.ts'
import { lookAfterMove, requireFile, requireOnDisk, requirePlace, requireSame, stale, underLease } from './requiring.ts'
import type { StagingArea } from './staging.ts'

type CopyOptions = Parameters<CopyFacet['copy']>[2]

/** Milliseconds for each MiB that dCache copies before it answers, beside the door's deadline. */
const patiencePerMiB = 1000

/** CopyFacet.copy. A file on tape would be recalled by it: that is `nearline`. */
export async function copy(
  desk: Desk,
  area: StagingArea,
  from: Path,
  to: Path,
  options: CopyOptions,
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
    requireOnDisk(desk, entry, from)
    requirePlace(desk, target, to)
    replacedIn(target, to)
    const staged = await area.reserve(to)
    try {
      await requireSame(desk, from, entry, scope, call)
      await copyBytes(desk, from, staged, entry.size, scope, call)
      const made = await underLease(desk, [to], () => commit(desk, staged, to, options, entry, scope, call))
      await area.strike(staged)
      return made
    } catch (error) {
      await area.drop(staged, scope, call)
      throw error
    }
  }
  return { trail, target, proceed, release: async () => {} }
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

async function commit(
  desk: Desk,
  staged: Path,
  to: Path,
  { condition, decide }: CopyOptions,
  source: Entry,
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
  desk.requireAlive(call)
  await takeName(desk, staged, to, { entry: made.entry, replaced }, scope, call)
  return lookAfterMove(desk, to, made.entry, scope, call)
}
