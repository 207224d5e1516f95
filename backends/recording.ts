/** Records that are made of others. */

import { StorageError } from '../gateway/core/errors.ts'
import type { Path } from '../gateway/core/path.ts'
import type { Kept, RecordOptions } from './kept.ts'

/** Throws `stale` where another record is kept than the one that was meant. */
export function requireBefore(before: RecordOptions['before'], kept: Kept, path: Path): void {
  if (!before || before.record === kept.record) return
  throw new StorageError('stale', 'the record has changed', { path })
}
