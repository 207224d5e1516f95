/** What the operations of one mount are made of. */

import type { Path } from '../../gateway/core/path.ts'
import { Errno } from './errno.ts'
import type { Node, NodeTable } from './nodes.ts'
import type { OpenFiles } from './open-files.ts'
import type { Context, Notifier } from './operations.ts'
import type { RecentChanges } from './recent.ts'
import type { Teller } from './telling.ts'
import type { View } from './view.ts'

/** What all identities of a mount share. */
export interface Common {
  readonly nodes: NodeTable
  /** All that are in use. */
  readonly views: Set<View>
  readonly open: OpenFiles
  readonly recent: RecentChanges
  readonly notifier: Notifier
  /** Several identities use this mount, and the kernel remembers for all of them: it is told to remember nothing. */
  readonly isShared: boolean
  /** Milliseconds of a clock that is not set. */
  readonly now: () => number
}

export interface Parts extends Common {
  /** What the asking process sees. EACCES for one without an identity. */
  readonly viewOf: (context: Context) => View | Promise<View>
  /** What opening a file does whose bytes are on tape only. */
  readonly nearline: 'wait' | 'fail'
  readonly teller: Teller
  /** Where processes see it that see this mount where it was made; undefined where nobody knows. */
  readonly localName: (path: Path) => string | undefined
}

/** open(2). */
export const openFlag = {
  accessMode: 0o3,
  writeOnly: 0o1,
  readWrite: 0o2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
} as const

/** The directory that a request names. */
export function directoryOf(parts: Parts, { nodeid }: Context): Node {
  const node = parts.nodes.get(nodeid)
  if (node.type !== 'directory') throw new Errno('ENOTDIR')
  return node
}

/** For messages; undefined where it has no name any more. */
export function pathOrNone(parts: Common, nodeid: number): Path | undefined {
  try {
    return parts.nodes.pathOf(parts.nodes.get(nodeid))
  } catch (error) {
    if (error instanceof Errno) return undefined
    throw error
  }
}
