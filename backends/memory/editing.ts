/** Files of the memory back end that are open for writing in place. */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { EditableFile, EditOptions, OpenFile, Range } from '../backend.ts'
import { permissionsOfNew } from './acls.ts'
import { type Change, needPlace } from './changes.ts'
import { type Host, openNode } from './files.ts'
import { type Node, needFile, type Spot } from './tree.ts'

/** Opens what was seen, or makes it: whoever has seen nothing makes it, since nothing has come in between. */
export function edit(change: Change, spot: Spot, { create, truncate }: EditOptions, call: Call): EditableFile {
  const { tree, host } = change
  if (create && !spot.node)
    return { ...editNode(spot.name, make(change, spot, create.mode), host, call), created: true }
  if (create?.exclusive) throw new StorageError('exists', 'something of that name exists', { path: spot.path })
  const node = needFile(spot)
  if (truncate) {
    node.bytes = Buffer.alloc(0)
    node.modified = node.changed = tree.tick()
    node.kept = { version: '', digests: {} }
  }
  return editNode(spot.name, node, host, call)
}

function make({ tree, principal }: Change, spot: Spot, mode: number | undefined): Node {
  const parent = needPlace(tree, spot)
  const node = tree.make('file', permissionsOfNew('file', parent.permissions, principal, mode))
  tree.attach(parent, spot.name, node)
  return node
}

/** Each write is seen at once and makes a new version. */
export function editNode(name: string, node: Node, host: Host, call: Call): EditableFile {
  const setBytes = (bytes: Buffer) => {
    node.bytes = bytes
    node.modified = node.changed = host.tick()
    node.kept = { version: '', digests: {} }
  }
  const resize = (size: number) => {
    host.makeRoom(Math.max(0, size - node.bytes.length))
    const bytes = Buffer.alloc(size)
    node.bytes.copy(bytes, 0, 0, size)
    setBytes(bytes)
  }
  const put = (from: Uint8Array, offset: number) => {
    if (from.length === 0) return
    resize(Math.max(node.bytes.length, offset + from.length))
    node.bytes.set(from, offset)
  }
  const reading = openNode(name, node, -1, host, call)
  return {
    ...reading,
    write: async (from, offset) => {
      host.check(call)
      put(from, offset)
      return from.length
    },
    truncate: async (size) => {
      host.check(call)
      resize(size)
    },
    sync: async () => host.check(call),
    allocate: async ({ start, end }, how) => {
      host.check(call)
      if (end <= start || start < 0) throw new StorageError('invalid', 'the range is empty')
      if (how === 'extend' || how === 'zero') resize(Math.max(node.bytes.length, end))
      const { length } = node.bytes
      if (how === 'punch' || how === 'zero') put(Buffer.alloc(Math.max(0, Math.min(end, length) - start)), start)
    },
    // There are no holes but the one at the end.
    seek: async (offset, what) => {
      host.check(call)
      const { length } = node.bytes
      if (offset >= length) return undefined
      return what === 'data' ? offset : length
    },
    copyFrom: async (source, range, offset) => {
      host.check(call)
      const bytes = await bytesOf(source, range)
      put(bytes, offset)
      return bytes.length
    },
  }
}

async function bytesOf(source: OpenFile, { start, end }: Range): Promise<Uint8Array> {
  const size = source.stat ? (await source.stat()).size : source.entry.size
  const bytes = Buffer.alloc(Math.max(0, Math.min(end, size) - start))
  return bytes.subarray(0, await source.read(bytes, start))
}
