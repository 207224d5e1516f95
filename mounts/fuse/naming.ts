/** Names: what they lead to, and how they come and go. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Attributes } from '../client/fs/remote.ts'
import { directoryOf, type Parts } from './common.ts'
import { requireComplete } from './drafts.ts'
import { Errno } from './errno.ts'
import type { Node } from './nodes.ts'
import type { Context, EntryReply, NodeAttributes, Operations } from './operations.ts'
import { settle } from './settling.ts'
import type { View } from './view.ts'

const typeMask = 0o170000
const regularFile = 0o100000
/** renameat2(2). */
const renameNoReplace = 1
const renameExchange = 2
/** PATH_MAX without its NUL. */
const longestTarget = 4095

const nothing: NodeAttributes = {
  ino: 0n,
  size: 0,
  blocks: 0,
  atime: 0n,
  mtime: 0n,
  ctime: 0n,
  mode: 0,
  nlink: 0,
  uid: 0,
  gid: 0,
  blksize: 0,
}

type Naming = Pick<
  Operations,
  'lookup' | 'forget' | 'readlink' | 'symlink' | 'mknod' | 'mkdir' | 'unlink' | 'rmdir' | 'rename' | 'link'
>

export function namingOperations(parts: Parts): Naming {
  const { nodes } = parts
  return {
    lookup: (context, name) => lookup(parts, context, name),
    forget: (nodeid, lookups) => nodes.forget(nodeid, lookups),
    async readlink(context) {
      const node = nodes.get(context.nodeid)
      if (node.type !== 'symlink') throw new Errno('EINVAL')
      const { attributes } = await (await parts.viewOf(context)).look(node, context.signal)
      if (attributes.target === undefined) throw new Errno('EACCES')
      return attributes.target
    },
    async symlink(context, name, target) {
      if (Buffer.byteLength(target) > longestTarget) throw new Errno('ENAMETOOLONG')
      return make(parts, context, name, (view, path) => view.remote.symlink(path, target, context.signal))
    },
    async mknod(context, name, mode, _rdev, umask) {
      const type = mode & typeMask
      // Pipes, sockets and devices are things of one machine.
      if (type !== regularFile && type !== 0) throw new Errno('EPERM')
      return make(parts, context, name, async (view, path) => {
        const create = { exclusive: true, mode: mode & 0o7777 & ~umask }
        const file = await view.remote.open(path, { write: true, create }, context.signal)
        try {
          return (await file.commit(context.signal)) ?? file.attributes
        } finally {
          await file.close()
        }
      })
    },
    async mkdir(context, name, mode, umask) {
      const permissions = mode & 0o7777 & ~umask
      const entry = await make(parts, context, name, (view, path) =>
        view.remote.mkdir(path, permissions, context.signal),
      )
      const view = await parts.viewOf(context)
      view.madeDirectory(nodes.get(entry.nodeid))
      return entry
    },
    unlink: (context, name) => remove(parts, context, name, 'file'),
    rmdir: (context, name) => remove(parts, context, name, 'directory'),
    rename: (context, name, newDirectory, newName, flags) =>
      rename(parts, context, { name, newDirectory: nodes.get(newDirectory), newName, flags }),
    async link(context, nodeid, newName) {
      const node = nodes.get(nodeid)
      if (node.type === 'directory') throw new Errno('EPERM')
      requireComplete(parts, node)
      return make(parts, context, newName, async (view, path) => {
        await settle(parts, view, node, context.signal)
        const attributes = await view.remote.link(nodes.pathOf(node), path, context.signal)
        view.remembered.drop(node)
        return attributes
      })
    },
  }
}

async function lookup(parts: Parts, context: Context, name: string): Promise<EntryReply> {
  const directory = directoryOf(parts, context)
  const view = await parts.viewOf(context)
  const moment = parts.recent.moment()
  const known = await view.lookup(directory, name, context.signal).catch(noneIfAbsent)
  if (known) return view.entry(known)
  const path = parts.nodes.pathIn(directory, name)
  // The kernel keeps asking for names that are not there: for libraries, for .git.
  const child = parts.nodes.child(directory, name)
  const isSure = !parts.recent.touched(moment, path) && !(child && parts.open.draftOf(child))
  if (isSure) parts.nodes.unlink(directory, name)
  const entryValid = isSure ? view.absentFor(directory, name) : 0
  return { nodeid: 0, generation: 0, entryValid, attrValid: 0, attributes: nothing }
}

function noneIfAbsent(error: unknown): undefined {
  if (!(error instanceof StorageError) || error.code !== 'not-found') throw error
}

async function make(
  parts: Parts,
  context: Context,
  name: string,
  at: (view: View, path: ReturnType<Parts['nodes']['pathOf']>) => Promise<Attributes>,
): Promise<EntryReply> {
  const directory = directoryOf(parts, context)
  const view = await parts.viewOf(context)
  const moment = parts.recent.moment()
  const path = parts.nodes.pathIn(directory, name)
  const attributes = await view.doing([path], () => at(view, path))
  return view.entry(view.made(directory, name, attributes, moment))
}

async function remove(parts: Parts, context: Context, name: string, type: 'file' | 'directory'): Promise<void> {
  const { nodes } = parts
  const directory = directoryOf(parts, context)
  const view = await parts.viewOf(context)
  const path = nodes.pathIn(directory, name)
  const node = nodes.child(directory, name)
  const draft = node && parts.open.draftOf(node, view)
  try {
    await view
      .doing([path], () => view.remote.remove(path, type, context.signal))
      .catch((error) => {
        if (!draft || noneIfAbsent(error) !== undefined) throw error
      })
    draft?.data.discard()
  } catch (error) {
    // Somebody else was faster: the name is not to be shown again.
    if (error instanceof StorageError && error.code === 'not-found') {
      if (node) view.remembered.drop(node)
      nodes.unlink(directory, name)
    }
    throw error
  }
  // Its other names count one less.
  view.changedHere(path, directory, node)
  if (nodes.child(directory, name) === node) nodes.unlink(directory, name)
}

interface Renaming {
  readonly name: string
  readonly newDirectory: Node
  readonly newName: string
  readonly flags: number
}

async function rename(parts: Parts, context: Context, { name, newDirectory, newName, flags }: Renaming): Promise<void> {
  if (![0, renameNoReplace, renameExchange].includes(flags)) throw new Errno('EINVAL')
  const { nodes, open } = parts
  const directory = directoryOf(parts, context)
  const view = await parts.viewOf(context)
  const [from, to] = [nodes.pathIn(directory, name), nodes.pathIn(newDirectory, newName)]
  const [moved, replaced] = [nodes.child(directory, name), nodes.child(newDirectory, newName)]
  // rename(2): two names of one file are left as they are.
  if (moved && moved === replaced && flags !== renameNoReplace) return
  requireComplete(parts, moved)
  if (flags === renameExchange) requireComplete(parts, replaced)
  const unfinished = replaced && open.draftOf(replaced, view)
  const how = flags === renameExchange ? 'exchange' : flags === renameNoReplace ? 'absent' : 'replace'
  try {
    await view.doing([from, to], () => view.remote.rename(from, to, how, context.signal))
  } catch (error) {
    // What a file system without this flag says (renameat2(2)), and programs take another way then.
    const lacks = how === 'exchange' && error instanceof StorageError && error.code === 'unsupported'
    throw lacks ? new Errno('EINVAL', { cause: error }) : error
  }
  unfinished?.data.discard()
  view.changedHere(from, directory, moved)
  view.changedHere(to, newDirectory, replaced)
  if (how === 'exchange') nodes.exchange(directory, name, newDirectory, newName)
  else nodes.move(directory, name, newDirectory, newName)
  open.tellPaths()
  for (const each of [moved, how === 'exchange' ? replaced : undefined]) {
    if (each?.type === 'directory') for (const other of parts.views) other.movedHere(each)
  }
}
