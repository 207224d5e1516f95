/** Operations on open files. */

import type { Entry, OpenFile } from '../../../../backends/backend.ts'
import { StorageError } from '../../../core/errors.ts'
import { nameOf, type Path } from '../../../core/path.ts'
import { attributesOf, type JsonAttributes, storageId, type Where } from '../attributes.ts'
import { whereOf } from '../context.ts'
import { Draft } from '../draft.ts'
import { attributesOfOpen, type Content, entryOf, type Handle, requireEditor, requireReadable } from '../handles.ts'
import type { Members } from '../members.ts'
import { at, type Doing, type Operation } from './operation.ts'

const maxHandle = 32
/** Files that are given back with one request. */
const mostReleased = 256
/** Bytes copied with one request. */
const mostCopied = 1024 * 1024 * 1024

interface Wanted {
  readonly path: Path
  readonly where: Where
  readonly write: boolean
  /** Who writes wants to read as well. */
  readonly read: boolean
  readonly truncate: boolean
  readonly create: { readonly exclusive: boolean; readonly mode: number } | undefined
  /** What the storage knows the object by that it must be. */
  readonly id: string | undefined
}

export const open: Operation = {
  action: 'read',
  once: true,
  prepare(members, doing) {
    const wanted = wantedOf(members, doing)
    return async () => {
      const { session, x } = doing
      session.requireRoom()
      session.looked.at(wanted.path)
      const content = await openAs(doing, wanted)
      const handle = await keep(doing, content)
      // Nobody will ever give it back.
      if (!doing.isNamed && x.connection.signal.aborted) await session.take(handle.content.id)?.close()
      const { id, kind, created, file, where } = handle.content
      const { content: opened } = handle
      const flushes = opened.kind === 'edit' && opened.file.flush !== undefined
      const attributes = attributesOf(file.entry, x.principal, where)
      return { handle: id, kind, created, ...(flushes && { flushes }), attributes }
    }
  },
}

function wantedOf(members: Members, doing: Doing): Wanted {
  const path = at(doing, members.path())
  const where = whereOf(doing, path)
  const making = members.object('create')
  const create = making && { exclusive: making.flag('exclusive'), mode: making.whole('mode', 0o7777) }
  making?.end()
  const known = members.optionalText('id')
  const id = known === undefined ? undefined : storageId(known, where)
  const truncate = members.flag('truncate')
  const write = members.flag('write') || truncate || create !== undefined
  const read = members.flag('read')
  if (write) doing.x.action = create ? 'create' : 'edit'
  if (known !== undefined && id === undefined) throw new StorageError('stale', 'another object is there now', { path })
  return { path, where, write, read, truncate, create, id }
}

async function keep({ session }: Doing, make: (id: string) => Content): Promise<Handle> {
  try {
    return session.keep(make)
  } catch (error) {
    await make('').file.close()
    throw error
  }
}

async function openAs(doing: Doing, wanted: Wanted): Promise<(handle: string) => Content> {
  const { context, session, x } = doing
  const { storage } = context
  const call = session.lasting(x)
  const { path, where, read, truncate, create, id: object } = wanted
  if (!wanted.write) {
    const file = await storage.open(call, path, object === undefined ? {} : { id: object })
    return (id) => ({ kind: 'read', id, where, created: false, file })
  }
  const options = {
    ...(truncate && { truncate }),
    ...(read && { read }),
    ...(create && { create }),
    ...(object !== undefined && { id: object }),
  }
  try {
    const file = await storage.edit(call, path, options)
    return (id) => ({ kind: 'edit', id, where, created: file.created ?? false, file })
  } catch (error) {
    if (StorageError.from(error).code !== 'unsupported' || object !== undefined) throw error
    const draft = await draftAt(doing, wanted, error)
    return (id) => ({ kind: 'draft', id, where, ...draft })
  }
}

/** Where nothing is written in place: new files, and those that are written anew as a whole. */
async function draftAt(doing: Doing, { path, truncate, create }: Wanted, unsupported: unknown) {
  const { context, session, x } = doing
  const { storage } = context
  const call = session.lasting(x)
  if (!create && !truncate) throw unsupported
  // What is there is kept as long as nobody says that it is to be emptied.
  const conditions = !truncate ? { ifNoneMatch: '*' as const } : create ? undefined : { ifMatch: '*' as const }
  const begin = () => storage.write(call, path, conditions ? { conditions } : {})
  try {
    const writing = await begin()
    return { created: writing.replaces === undefined, file: new Draft(writing, nameOf(path), begin) }
  } catch (error) {
    if (StorageError.from(error).code !== 'precondition') throw error
    if (truncate) throw new StorageError('not-found', 'there is nothing to be written anew', { path })
    if (create?.exclusive) throw new StorageError('exists', 'something of that name exists', { path })
    throw unsupported
  }
}

/** For operations on a file that is open. */
function onHandle(run: (doing: Doing, handle: Handle, members: Members) => () => Promise<object>): Operation {
  return {
    prepare(members, doing) {
      const handle = handleOf(doing, members, 'handle')
      const work = run(doing, handle, members)
      return () => handle.use(work)
    },
  }
}

export function handleOf(doing: Doing, members: Members, name: string): Handle {
  const handle = doing.session.handle(members.text(name, maxHandle))
  at(doing, handle.path)
  return handle
}

export const release: Operation = {
  prepare(members, { session }) {
    const several = members.has('handles') ? members.list('handles', mostReleased) : undefined
    const ids = several?.map(requireHandle) ?? [members.text('handle', maxHandle)]
    return async () => {
      await Promise.all(ids.map((id) => session.take(id)?.close()))
      return {}
    }
  },
}

function requireHandle(value: unknown): string {
  if (typeof value === 'string' && value.length <= maxHandle) return value
  throw new StorageError('invalid', 'the member handles is a list of handles')
}

export const fstat = onHandle((doing, handle) => async () => told(doing, handle, await entryOf(handle)))

export const truncate = onHandle((doing, handle, members) => {
  const size = members.whole('size')
  return async () => {
    const { content } = handle
    if (content.kind === 'draft') await content.file.truncate(size)
    else await requireEditor(handle).truncate(size)
    doing.session.forgetSizes()
    return {}
  }
})

export const sync = onHandle((doing, handle) => async () => {
  const { content } = handle
  if (content.kind === 'draft') return { attributes: told(doing, handle, await content.file.commit()) }
  if (content.kind === 'edit') await content.file.sync()
  return {}
})

export const commit = onHandle((doing, handle) => async () => {
  const { content } = handle
  if (content.kind === 'draft') return { attributes: told(doing, handle, await content.file.commit()) }
  if (content.kind === 'edit') await content.file.flush?.()
  return {}
})

export const allocate = onHandle((doing, handle, members) => {
  const range = { start: members.whole('start'), end: members.whole('end') }
  const how = members.word('how', ['extend', 'keep', 'punch', 'zero'])
  if (range.end <= range.start) throw new StorageError('invalid', 'the range is empty')
  return async () => {
    const file = requireEditor(handle)
    if (!file.allocate) throw new StorageError('unsupported', 'this mount does not set space aside')
    await file.allocate(range, how)
    doing.session.forgetSizes()
    return {}
  }
})

export const seek = onHandle((_doing, handle, members) => {
  const offset = members.whole('offset')
  const what = members.word('what', ['data', 'hole'])
  return async () => {
    const file: OpenFile & { seek?(offset: number, what: 'data' | 'hole'): Promise<number | undefined> } =
      requireReadable(handle)
    if (file.seek) return { offset: await file.seek(offset, what) }
    // lseek(2): the simplest truth is that all of a file is data.
    const { size } = await entryOf(handle)
    if (offset >= size) return {}
    return { offset: what === 'data' ? offset : size }
  }
})

export const copyRange: Operation = {
  prepare(members, doing) {
    const from = handleOf(doing, members, 'from')
    const to = handleOf(doing, members, 'to')
    const start = members.whole('start')
    const length = members.whole('length')
    const offset = members.whole('offset')
    return () =>
      to.use(() =>
        from.use(async () => {
          const target = requireEditor(to)
          if (!target.copyFrom) throw new StorageError('unsupported', 'this mount does not copy by itself')
          const range = { start, end: start + Math.min(length, mostCopied) }
          if (!Number.isSafeInteger(range.end + offset)) throw new StorageError('too-large', 'the range is too large')
          return { copied: await target.copyFrom(requireReadable(from), range, offset) }
        }),
      )
  },
}

function told({ x }: Doing, handle: Handle, entry: Entry): JsonAttributes {
  return attributesOfOpen(handle, entry, x.principal)
}
