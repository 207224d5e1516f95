/** Going on where another process stopped: its nodes are ours, and the files that it had open are opened anew. */

import { parsePath } from '../../gateway/core/path.ts'
import type { Common } from './common.ts'
import type { Line } from './journal.ts'
import type { View } from './view.ts'

interface WasOpen {
  readonly nodeid: number
  readonly isWritable: boolean
  readonly opener: number
  readonly path: string
  isDirty: boolean
  hasLocks: boolean
}

/** The nodes are there when this returns; the files when the promise is kept, which never fails. */
export function resume(common: Common, view: View | undefined, lines: Iterable<Line>, log: (line: string) => void) {
  const files = replay(common, lines)
  return openAnew(common, view, files, log)
}

function replay({ nodes }: Common, lines: Iterable<Line>): Map<number, WasOpen> {
  const files = new Map<number, WasOpen>()
  const change = (fh: number, what: Partial<WasOpen>) => {
    const file = files.get(fh)
    if (file) Object.assign(file, what)
  }
  for (const line of lines) {
    if (line[0] === 'o') {
      const [, fh, nodeid, isWritable, opener, path] = line
      files.set(fh, { nodeid, isWritable, opener, path, isDirty: false, hasLocks: false })
    } else if (line[0] === 'c') files.delete(line[1])
    else if (line[0] === 'd' || line[0] === 'k') change(line[1], { isDirty: line[0] === 'd' })
    else if (line[0] === 'h') change(line[1], { hasLocks: true })
    else nodes.replay(line)
  }
  return files
}

async function openAnew(
  common: Common,
  view: View | undefined,
  files: ReadonlyMap<number, WasOpen>,
  log: (line: string) => void,
): Promise<void> {
  const one = async ([fh, file]: readonly [number, WasOpen]) => {
    // Whatever does not come back is stale, and what had not been written is an error once.
    const found = file.hasLocks || !view ? undefined : await reopened(common, view, file)
    if (found) common.open.restore(fh, found, file)
    else common.open.lose(fh)
    if (!found || file.isDirty)
      log(`${JSON.stringify(file.path)}: ${found ? 'some of what was written' : 'an open file'} is lost`)
  }
  await Promise.all([...files].map(one))
}

async function reopened({ nodes }: Common, view: View, { nodeid, isWritable, path }: WasOpen) {
  try {
    const node = nodes.get(nodeid)
    const at = nodes.hasPath(node) ? nodes.pathOf(node) : parsePath(path)
    const remote = await view.remote.open(at, isWritable ? { write: true } : {})
    if (remote.attributes.id === node.id) return { node, view, data: view.files.open(nodeid, remote) }
    await remote.close()
    return undefined
  } catch {
    // It is not there any more, or not for us: the kernel is told so at its next use.
    return undefined
  }
}
