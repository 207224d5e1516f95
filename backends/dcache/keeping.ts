/** What a new file takes over from the one it replaces. */

import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Desk, Scope } from './desk.ts'
import { unavailable } from './errors.ts'
import { lookAt, lookAtHidden } from './looking.ts'
import { othersOf } from './records.ts'

/**
 * Gives mode, extended attributes and labels of `old` to `fresh`, which nobody sees yet. Without a frontend they are
 * lost; with one that does not answer it is `unavailable`, since what was closed must not be open afterwards.
 */
export async function inheritFrom(desk: Desk, old: Path, fresh: Path, scope: Scope, call: Call): Promise<void> {
  if (!desk.frontend) return
  const extra = { optional: 'true', xattr: 'true', labels: 'true' } as const
  const [before, after] = await Promise.all([
    lookAt(desk, old, scope, call, extra),
    lookAtHidden(desk, fresh, scope, call, extra),
  ])
  if (!before || !after) return
  if (!before.json || !after.json) throw unavailable('the storage did not tell what a file takes over')
  const { mode } = before.entry
  if (mode !== undefined && mode !== after.entry.mode) {
    await desk.change(fresh, { action: 'chmod', mode }, scope, call)
  }
  const { extendedAttributes, labels } = before.json
  const attributes = othersOf(extendedAttributes)
  if (Object.keys(attributes).length > 0) {
    await desk.change(fresh, { action: 'set-xattr', mode: 'EITHER', attributes }, scope, call)
  }
  for (const label of Array.isArray(labels) ? labels.slice(0, 100) : []) {
    await desk.change(fresh, { action: 'set-label', label }, scope, call)
  }
}
