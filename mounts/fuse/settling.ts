/** What was written here and not yet sent, before something else is asked or done; whichever identity has written it. */

import type { Common } from './common.ts'
import type { Node } from './nodes.ts'
import type { FileState, OpenFile } from './open-files.ts'
import type { View } from './view.ts'

/** What was written through open files of the object is at the gateway when this resolves. Errors stay with the files. */
export async function settle(common: Common, view: View, node: Node, signal: AbortSignal): Promise<void> {
  await Promise.all([...storesOf(common, view, node)].map((files) => files.settle(node.nodeid, signal)))
}

/** The same, where the object is looked at next: what the gateway tells of it along with the bytes is remembered. */
export async function settleTelling(common: Common, view: View, node: Node, signal: AbortSignal): Promise<void> {
  await Promise.all([...storesOf(common, view, node)].map((files) => files.settleTelling(node.nodeid, signal)))
}

function storesOf({ open }: Common, view: View, node: Node): ReadonlySet<View['files']> {
  const state = open.stateOf(node)
  const stores = new Set<View['files']>()
  if (!state || (!state.isDirty && state.open.size === 0)) return stores
  stores.add(view.files)
  for (const file of state.open) if (file.isWritable) stores.add(file.view.files)
  return stores
}

/** Other identities keep bytes of the object that are old now. */
export function wroteBeside(view: View, { open, node }: FileState): void {
  for (const file of open) if (file.view !== view) file.view.files.changed(node.nodeid)
}

/** Its bytes end here now, whoever has it open. */
export function resized({ open }: Common, view: View, node: Node, size: number): void {
  view.files.resized(node.nodeid, size)
  for (const other of open.stateOf(node)?.open ?? []) {
    if (other.view !== view) other.view.files.resized(node.nodeid, size)
  }
}

/** Before one reads what others have written through the same mount. */
export async function settleBeside({ view, state, node }: OpenFile, signal: AbortSignal): Promise<void> {
  const stores = new Set<View['files']>()
  for (const file of state.open) if (file.isDirty && file.view !== view) stores.add(file.view.files)
  if (stores.size === 0) return
  await Promise.all([...stores].map((files) => files.settle(node.nodeid, signal)))
  view.files.changed(node.nodeid)
}
