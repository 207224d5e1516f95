/** Attributes: looking at them and changing them, what the caller may do, and how much room there is. */

import { type Rights, right } from '../../acl/acl.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Changes, HeldRights, Space } from '../client/fs/remote.ts'
import { nodeAttributes, type Ownership, ownerOf } from './attributes.ts'
import type { Parts } from './common.ts'
import { changeDraft } from './drafts.ts'
import { Errno } from './errno.ts'
import { changeNameless } from './nameless.ts'
import { type Node, rootNodeid } from './nodes.ts'
import { altering } from './opening.ts'
import type { Context, FileSystemSpace, NodeAttributes, Operations, SetAttributes } from './operations.ts'
import { resized, settle } from './settling.ts'
import type { Seen, View } from './view.ts'

/** access(2). */
const wantsRead = 4
const wantsWrite = 2
const wantsExecute = 1

/** Units of statfs, in bytes. */
const blockSize = 4096
/** Shown where the storage has no limit: an exabyte, which no program takes for full. */
const endless = 2 ** 60
const endlessFiles = 2 ** 32
/** Milliseconds that an answer of statfs is good for: desktops ask all the time. */
const spaceValid = 5000
const mostSpaces = 256

type Changing = Pick<Operations, 'getattr' | 'setattr' | 'access' | 'statfs'>

export function changingOperations(parts: Parts, ownership: Ownership): Changing {
  const { nodes, open } = parts
  const spaces = new WeakMap<View, Map<number, { readonly space: FileSystemSpace; readonly until: number }>>()
  const reply = (view: View, node: Node, { attributes, valid }: Seen) => ({
    attrValid: attributes.version === '' ? 0 : valid,
    attributes: view.attributesOf(node, attributes),
  })
  return {
    async getattr(context, fh) {
      const node = nodes.get(context.nodeid)
      // A descriptor that was inherited goes on telling.
      const view = (fh === undefined ? undefined : open.find(fh)?.view) ?? (await viewOrNone(parts, context))
      if (!view) return { attrValid: 0, attributes: emptyTop(ownership) }
      // Where attributes are closed, type and name alone are told: whoever asks why not has to get here.
      return reply(view, node, await view.look(node, context.signal))
    },
    async setattr(context, wanted) {
      const node = nodes.get(context.nodeid)
      const view = (wanted.fh === undefined ? undefined : open.find(wanted.fh)?.view) ?? (await parts.viewOf(context))
      return reply(view, node, await change(parts, view, node, wanted, context))
    },
    async access(context, mask) {
      const node = nodes.get(context.nodeid)
      const view = await parts.viewOf(context)
      if ((mask & 7) === 0) await view.look(node, context.signal)
      else if (!isOpen(await view.rights(node, context.signal), node, mask)) throw new Errno('EACCES')
    },
    async statfs(context) {
      const view = await parts.viewOf(context)
      const known = spaces.get(view) ?? new Map()
      spaces.set(view, known)
      const found = known.get(context.nodeid)
      if (found && found.until > parts.now()) return found.space
      const space = await spaceOf(view, parts, context)
      if (known.size >= mostSpaces) known.clear()
      known.set(context.nodeid, { space, until: parts.now() + spaceValid })
      return space
    },
  }
}

/** The top of a mount is a directory whoever asks: `ls` beside it and those who unmount it need no more. */
async function viewOrNone(parts: Parts, context: Context): Promise<View | undefined> {
  try {
    return await parts.viewOf(context)
  } catch (error) {
    if (parts.isShared && context.nodeid === rootNodeid) return undefined
    throw error
  }
}

function emptyTop({ others }: Ownership): NodeAttributes {
  const seen = { type: 'directory', size: 0, modified: 0n, changed: 0n, mine: false, version: '', id: '' } as const
  return { ...nodeAttributes(seen, 1n, { mine: others, others, numeric: false }), nlink: 1 }
}

async function change(parts: Parts, view: View, node: Node, wanted: SetAttributes, context: Context): Promise<Seen> {
  const { signal } = context
  let { size } = wanted
  // As on local file systems: the mode of a link means nothing.
  if (wanted.mode !== undefined && node.type === 'symlink') throw new Errno('EOPNOTSUPP')
  if (size !== undefined && (await truncateOpen(parts, view, node, size, wanted.fh, signal))) size = undefined
  const owners = await ownersOf(view, node, wanted, signal)
  const changes: Changes = {
    ...owners,
    ...(size !== undefined && { size }),
    ...(wanted.mode !== undefined && { mode: wanted.mode & 0o7777 }),
    ...(wanted.atime !== undefined && { accessed: wanted.atime }),
    ...(wanted.mtime !== undefined && { modified: wanted.mtime }),
  }
  if (Object.keys(changes).length === 0) return view.look(node, signal)
  const draft = parts.open.draftOf(node, view)
  if (draft) {
    changeDraft(draft, changes)
    view.remembered.drop(node)
    return view.look(node, signal)
  }
  const file = parts.nodes.hasPath(node) ? undefined : parts.open.anyOf(node, view)
  if (file) {
    changeNameless(file.state, (await view.look(node, signal)).attributes, changes)
    return view.look(node, signal)
  }
  const path = parts.nodes.pathOf(node)
  await settle(parts, view, node, signal)
  const moment = parts.recent.moment()
  const attributes = await view.doing([path], () => view.orStale(node, view.remote.change(path, changes, signal)))
  view.checkSame(node, attributes)
  const isSure = !parts.recent.touched(moment, path)
  view.changedHere(path, node)
  if (size !== undefined) {
    resized(parts, view, node, size)
    const state = parts.open.stateOf(node)
    if (state) state.version = undefined
  }
  return view.learn(node, attributes, isSure ? parts.recent.moment() : moment)
}

/** Through the descriptor, where one is open for writing: in order with what was written by it. */
async function truncateOpen(
  parts: Parts,
  view: View,
  node: Node,
  size: number,
  fh: number | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  if (node.type === 'directory') throw new Errno('EISDIR')
  const told = fh === undefined ? undefined : parts.open.find(fh)
  const file = told?.isWritable ? told : parts.open.anyOf(node, view, true)
  if (!file?.isWritable) return false
  // By name another one may be asked for rights that the descriptor's owner had.
  if (fh === undefined && parts.isShared) return false
  await altering(parts, file, () => file.data.truncate(size, signal))
  resized(parts, view, node, size)
  return true
}

/**
 * chown to what is shown already changes nothing, and to oneself it takes over. To anybody else it takes names that only
 * numbers can stand for. What the storage keeps of a link has no owner that could be another one.
 */
async function ownersOf(
  view: View,
  node: Node,
  { uid, gid }: SetAttributes,
  signal: AbortSignal,
): Promise<Pick<Changes, 'owner' | 'group'>> {
  if (uid === undefined && gid === undefined) return {}
  const { ownership } = view
  const { attributes } = await view.look(node, signal)
  const shown: Pick<NodeAttributes, 'uid' | 'gid'> = ownerOf(attributes, ownership)
  const isOther = uid !== undefined && uid !== shown.uid
  const isOtherGroup = gid !== undefined && gid !== shown.gid
  if (!isOther && !isOtherGroup) return {}
  const { mine, numeric } = ownership
  if (numeric) return { ...(isOther && { owner: String(uid) }), ...(isOtherGroup && { group: String(gid) }) }
  const isOurs = (!isOther || uid === mine.uid) && (!isOtherGroup || gid === mine.gid)
  if (isOurs && node.type === 'symlink') return {}
  const { user } = view.remote
  // With the owner the group is shown as ours, too.
  if (!isOurs || !isOther || user === undefined) throw new Errno('EPERM')
  return { owner: user }
}

function isOpen({ rights, actions }: HeldRights, { type }: Node, mask: number): boolean {
  const isDirectory = type === 'directory'
  if (rights === 'unknown') {
    const has = (...names: readonly string[]) => names.some((name) => actions.includes(name))
    if ((mask & wantsRead) !== 0 && !has('read', 'list')) return false
    if ((mask & wantsWrite) !== 0 && !has('edit', 'create', 'replace', 'write')) return false
    return true
  }
  const has = (needed: Rights) => (rights & needed) === needed
  if ((mask & wantsRead) !== 0 && !has(right.readData)) return false
  if ((mask & wantsExecute) !== 0 && !has(right.execute)) return false
  if ((mask & wantsWrite) === 0) return true
  return isDirectory ? (rights & (right.addFile | right.addSubdirectory)) !== 0 : has(right.writeData)
}

async function spaceOf(view: View, { nodes }: Parts, { nodeid, signal }: Context): Promise<FileSystemSpace> {
  const { used, available, limit, files } = await known(view.remote.space(nodes.pathOf(nodes.get(nodeid)), signal))
  const free = available ?? (limit === undefined ? endless : Math.max(0, limit - used))
  const total = limit ?? used + free
  const bfree = Math.floor(Math.min(free, total) / blockSize)
  const most = files?.limit ?? (files?.used ?? 0) + endlessFiles
  return {
    blocks: Math.ceil(total / blockSize),
    bfree,
    bavail: bfree,
    files: most,
    ffree: Math.max(0, most - (files?.used ?? 0)),
    bsize: blockSize,
    frsize: blockSize,
    namelen: 255,
  }
}

/** Where mounts of the gateway meet there is no storage, and so no limit. */
async function known(asked: Promise<Space>): Promise<Space> {
  try {
    return await asked
  } catch (error) {
    const isNone = error instanceof StorageError && (error.code === 'unsupported' || error.code === 'denied')
    if (!isNone) throw error
    return { used: 0, available: undefined, limit: undefined }
  }
}
