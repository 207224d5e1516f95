/** Opening and creating files, and files whose bytes are on tape. */

import { setTimeout as pause } from 'node:timers/promises'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { OpenOptions, RemoteFile } from '../client/fs/remote.ts'
import { directoryOf, openFlag, type Parts, pathOrNone } from './common.ts'
import { changeCompleted } from './drafts.ts'
import { Errno } from './errno.ts'
import { wroteNameless } from './nameless.ts'
import type { Node } from './nodes.ts'
import type { OpenFile } from './open-files.ts'
import type { Context, OpenReply, Operations } from './operations.ts'
import { resized, settle, wroteBeside } from './settling.ts'
import { telling } from './told.ts'
import type { View } from './view.ts'

/** FOPEN_KEEP_CACHE: the pages that the kernel has stay good. */
const keepCache = 2
/** FOPEN_DIRECT_IO: the kernel keeps no pages. */
const directIo = 1
/** Milliseconds between two looks at a file that is on its way from tape. */
const firstPause = 1000
const longestPause = 30_000

interface Wish {
  readonly isWritable: boolean
  readonly options: OpenOptions
}

export function openingOperations(parts: Parts): Pick<Operations, 'open' | 'create'> {
  return {
    async open(context, flags) {
      const node = parts.nodes.get(context.nodeid)
      checkOpenable(node)
      const view = await parts.viewOf(context)
      const { isWritable, options } = wishOf(flags)
      await settle(parts, view, node, context.signal)
      const isHollow = view.isHollow(node)
      const opening = () => view.remote.open(parts.nodes.pathOf(node), options, context.signal)
      const remote = await online(parts, view, node, context, () => view.orStale(node, opening()))
      try {
        if (parts.nodes.hasPath(node)) view.checkSame(node, remote.attributes)
      } catch (error) {
        await remote.close()
        throw error
      }
      return opened(parts, view, node, remote, {
        ...{ context, isWritable, isHollow },
        isTruncated: options.truncate === true,
      })
    },
    async create(context, name, flags, mode, umask) {
      const directory = directoryOf(parts, context)
      const view = await parts.viewOf(context)
      const path = parts.nodes.pathIn(directory, name)
      const moment = parts.recent.moment()
      const { isWritable, options } = wishOf(flags)
      const create = { exclusive: (flags & openFlag.exclusive) !== 0, mode: mode & 0o7777 & ~umask }
      const open = () => createOrOpen(view, path, { ...options, create }, context.signal)
      const remote = await view.doing([path], open)
      try {
        const { attributes } = remote
        if (attributes.type === 'directory') throw new Errno('EISDIR')
        const known = remote.created
          ? view.made(directory, name, attributes, moment)
          : view.learnNamed(directory, name, attributes, moment)
        const isTruncated = options.truncate === true && !remote.created
        // The look-up counts before anything is awaited: nothing can forget the node meanwhile.
        const entry = view.entry(known)
        const reply = opened(parts, view, known.node, remote, { context, isWritable, isTruncated, isHollow: false })
        return { ...entry, ...reply }
      } catch (error) {
        await remote.close()
        throw error
      }
    },
  }
}

function wishOf(flags: number): Wish {
  const mode = flags & openFlag.accessMode
  const truncate = (flags & openFlag.truncate) !== 0
  const isWritable = mode === openFlag.writeOnly || mode === openFlag.readWrite
  const write = isWritable || truncate
  // The kernel keeps pages by file and not by user: whoever may read by a descriptor is shown what others have read.
  const read = mode !== openFlag.writeOnly
  return { isWritable, options: { ...(write && { write, read }), ...(truncate && { truncate }) } }
}

function checkOpenable({ type }: Node): void {
  if (type === 'directory') throw new Errno('EISDIR')
  if (type === 'symlink') throw new Errno('ELOOP')
  if (type === 'other') throw new Errno('ENXIO')
}

/** Who creates a file only to read it may not be allowed to write one that is there already. */
async function createOrOpen(view: View, path: Path, options: OpenOptions, signal: AbortSignal): Promise<RemoteFile> {
  if (options.write === true) return view.remote.open(path, options, signal)
  if (options.create?.exclusive !== true) {
    try {
      return await view.remote.open(path, {}, signal)
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'not-found') throw error
    }
  }
  return view.remote.open(path, { ...options, write: true, read: true }, signal)
}

interface Opening {
  readonly context: Context
  readonly isWritable: boolean
  readonly isTruncated: boolean
  /** The kernel was told of it when its attributes were closed. */
  readonly isHollow: boolean
}

function opened(parts: Parts, view: View, node: Node, remote: RemoteFile, opening: Opening): OpenReply {
  const { open, notifier } = parts
  const { context, isWritable, isTruncated } = opening
  const lost = (): void => {
    view.remembered.drop(node)
    notifier.invalidateNode(node.nodeid, true)
  }
  if (isTruncated) resized(parts, view, node, 0)
  const untold = (error: unknown) => parts.teller.tell('write', error, () => pathOrNone(parts, node.nodeid))
  // Whose attributes are closed is not shown what it writes tells of them.
  const told = opening.isHollow ? {} : { telling: () => telling(parts, file) }
  const completed = (signal: AbortSignal | undefined) => changeCompleted(parts, file, signal)
  const data = view.files.open(node.nodeid, remote, { lost, untold, completed, ...told })
  const file: OpenFile = open.add(node, view, data, { isWritable, opener: context.pid })
  if (isTruncated) wrote(parts, file)
  // Pages of the old file are no part of a draft, and where attributes are closed the kernel does not know the size.
  if (remote.kind === 'draft' || remote.attributes.version === '' || opening.isHollow) {
    return { fh: file.fh, flags: directIo }
  }
  return { fh: file.fh, flags: keepsPages(parts, file) ? keepCache : 0 }
}

/** Whether the kernel's pages are of the version that was opened; otherwise it drops them, and they are from now on. */
function keepsPages({ isShared, now }: Parts, { state, view, node, data }: OpenFile): boolean {
  const { version } = data.remote.attributes
  const isWritten = state.isDirty || state.written > now() - 2000 || [...state.open].some((each) => each.isWritable)
  const isSame = state.version !== undefined && state.version === version
  if (!isSame && state.version !== undefined) view.files.changed(node.nodeid)
  state.version = isWritten || version === '' ? undefined : version
  return isSame && !isWritten && !isShared
}

/** Something was written by this file: what is remembered of it holds no longer. */
function wrote({ nodes, now, open }: Parts, file: OpenFile): void {
  const { state, view, node } = file
  const time = now()
  const isFirst = !state.isDirty || time - state.written > 200
  state.written = time
  state.isDirty = true
  file.isDirty = true
  state.version = undefined
  wroteNameless(state)
  wroteBeside(view, state)
  altered(file)
  if (isFirst) open.note(file, 'd')
  if (isFirst && nodes.hasPath(node)) view.changedHere(nodes.pathOf(node), node)
}

/** The same for work that takes a while: whoever looks meanwhile remembers nothing of what was before. */
export async function altering<T>(parts: Parts, file: OpenFile, work: () => Promise<T>): Promise<T> {
  wrote(parts, file)
  try {
    return await work()
  } finally {
    altered(file)
  }
}

/** Nothing that is remembered of it, or comes of a question that was asked before, is the present any more. */
function altered({ state, view, node }: OpenFile): void {
  state.altered++
  view.remembered.drop(node)
  for (const other of state.open) if (other.view !== view) other.view.remembered.drop(node)
}

/** Opens a file. Of one that is on tape: throws `nearline`, or asks for it and waits until it can be opened. */
async function online(
  parts: Parts,
  view: View,
  node: Node,
  context: Context,
  open: () => Promise<RemoteFile>,
): Promise<RemoteFile> {
  const { signal } = context
  for (let wait = 0; ; wait = Math.min(wait * 2, longestPause)) {
    try {
      return await open()
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'nearline' || parts.nearline === 'fail') throw error
    }
    view.remembered.drop(node)
    if (wait === 0) {
      context.mayTakeLong?.()
      await view.remote.stage(parts.nodes.pathOf(node), signal)
      wait = firstPause
    }
    await pause(wait, undefined, { signal })
  }
}
