/** What is copied or moved must not lie in itself: it would never end, and a move would then remove it. */

import type { Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { StorageError } from './errors.ts'
import { spotOf } from './lock-scope.ts'
import { isWithin } from './path.ts'

interface Seen {
  readonly place: Place
  readonly trail: Trail
}

/** Throws `invalid` where the target is the source or lies in it, whatever mount, back end or link shows it there. */
export function requireApart(source: Seen, target: Seen): void {
  const [from, to] = [spotOf(source.place, source.trail), spotOf(target.place, target.trail)]
  const isPlaced = from.realm === to.realm && isWithin(to.at, from.at)
  const isKnown = from.backend === to.backend && from.id !== undefined && [...to.above, to.id].includes(from.id)
  if (!isPlaced && !isKnown) return
  throw new StorageError('invalid', 'the target is the source or lies in it', { path: target.place.path })
}
