/**
 * What the gateway tells of an object along with the last bytes that were written to it: whoever looks right after, or once
 * the file is closed, is answered without another question.
 */

import type { Attributes } from '../client/fs/remote.ts'
import type { Common } from './common.ts'
import type { OpenFile } from './open-files.ts'
import type { Moment } from './recent.ts'
import type { View } from './view.ts'

export interface Told {
  readonly view: View
  readonly attributes: Attributes
  /** When it was asked for, in the order of changes and by the mount's clock in milliseconds. */
  readonly moment: Moment
  readonly time: number
  /** Of `FileState.altered`. */
  readonly altered: number
}

/** To be called before the bytes are sent; what it gives is called with the answer. */
export function telling({ recent, now }: Common, { state, view }: OpenFile): (attributes: Attributes) => void {
  const asked = { view, moment: recent.moment(), time: now(), altered: state.altered }
  return (attributes) => {
    if (state.altered !== asked.altered || isDirtyBeside(view, state.open)) return
    state.told = { ...asked, attributes }
    view.learn(state.node, attributes, asked.moment, now() - asked.time)
  }
}

/** What was told, while it is the present: nothing was written or changed since. */
export function presentTold({ nodes, recent }: Common, { state, view, node }: OpenFile): Told | undefined {
  const { told } = state
  if (!told || told.view !== view || told.altered !== state.altered || isDirtyBeside(view, state.open)) return undefined
  return nodes.hasPath(node) && !recent.touched(told.moment, nodes.pathOf(node)) ? told : undefined
}

/** Another identity has written what the gateway may not have. */
function isDirtyBeside(view: View, open: ReadonlySet<OpenFile>): boolean {
  for (const file of open) if (file.view !== view && file.isDirty) return true
  return false
}
