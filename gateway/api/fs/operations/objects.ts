/** Operations on objects by path. */

import { aclFromJson, aclToJson } from '../../../../acl/codec/json.ts'
import type { Changes, Entry } from '../../../../backends/backend.ts'
import { StorageError } from '../../../core/errors.ts'
import type { Path } from '../../../core/path.ts'
import { attributesOf, type JsonAttributes } from '../attributes.ts'
import { whereOf } from '../context.ts'
import { at, type Doing, type Operation } from './operation.ts'

const maxTarget = 4095

export const stat: Operation = {
  action: 'stat',
  prepare(members, doing) {
    const path = at(doing, members.path())
    return async () => {
      doing.session.looked.at(path)
      return told(doing, path, await doing.context.storage.stat(doing.call, path, { closedToo: true }))
    }
  },
}

export const mkdir: Operation = {
  action: 'mkdir',
  once: true,
  prepare(members, doing) {
    const path = at(doing, members.path())
    const mode = members.whole('mode', 0o7777)
    return async () => {
      doing.session.looked.at(path)
      return told(doing, path, await doing.context.storage.mkdir(doing.call, path, { mode }))
    }
  },
}

export const remove: Operation = {
  action: 'remove',
  once: true,
  prepare(members, doing) {
    const path = at(doing, members.path())
    const type = members.word('type', ['file', 'directory'])
    const { storage } = doing.context
    return async () => {
      await storage.remove(doing.call, path, { type: type === 'directory' ? 'directory' : 'other' })
      return {}
    }
  },
}

export const rename: Operation = {
  action: 'move-away',
  once: true,
  prepare(members, doing) {
    const path = at(doing, members.path())
    const to = members.path('to')
    const how = members.word('how', ['replace', 'absent', 'exchange'])
    return async () => {
      doing.session.looked.at(to)
      return told(doing, to, await move(doing, path, to, how))
    }
  },
}

async function move(doing: Doing, from: Path, to: Path, how: 'replace' | 'absent' | 'exchange'): Promise<Entry> {
  const { context, session, call } = doing
  // A program that is told so copies by itself, and shows how far it is.
  if (whereOf(doing, from).storage !== whereOf(doing, to).storage) {
    throw new StorageError('cross-mount', 'these are two mounts', { path: to })
  }
  if (how === 'exchange') {
    await context.storage.exchange(call, from, to)
    session.exchanged(from, to)
    return context.storage.stat(call, to)
  }
  const { entry } = await context.storage.rename(call, from, to, { overwrite: how === 'replace' })
  session.moved(from, to)
  return entry
}

export const symlink: Operation = {
  action: 'create',
  once: true,
  prepare(members, doing) {
    const path = at(doing, members.path())
    const target = members.text('target', maxTarget)
    return async () => {
      doing.session.looked.at(path)
      return told(doing, path, await doing.context.storage.symlink(doing.call, path, target))
    }
  },
}

export const link: Operation = {
  action: 'create',
  once: true,
  prepare(members, doing) {
    const path = at(doing, members.path())
    const to = members.path('to')
    return async () => {
      doing.session.looked.at(to)
      return told(doing, to, await doing.context.storage.link(doing.call, path, to))
    }
  },
}

export const change: Operation = {
  action: 'set-attributes',
  prepare(members, doing) {
    const path = at(doing, members.path())
    const size = members.optionalWhole('size')
    const changes = {
      modified: members.optionalTime('modified'),
      accessed: members.optionalTime('accessed'),
      mode: members.optionalWhole('mode', 0o7777),
      owner: members.optionalText('owner'),
      group: members.optionalText('group'),
    }
    const asked = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as Changes
    return async () => {
      const { storage } = doing.context
      doing.session.looked.at(path)
      // It changes the time of the last change, which may be told besides.
      if (size !== undefined) await resize(doing, path, size)
      if (Object.keys(asked).length === 0) return told(doing, path, await storage.stat(doing.call, path))
      return told(doing, path, await storage.setAttributes(doing.call, path, { ...asked, ofLink: true }))
    }
  },
}

async function resize({ context, session, call }: Doing, path: Path, size: number): Promise<void> {
  const { storage } = context
  try {
    const file = await storage.edit(call, path, size === 0 ? { truncate: true } : {})
    try {
      if (size !== 0) await file.truncate(size)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (size !== 0 || StorageError.from(error).code !== 'unsupported') throw error
    await empty(call, storage, path)
  }
  session.forgetSizes()
}

/** Where nothing is written in place, a new empty file takes the place of the one that is there. */
async function empty(call: Doing['call'], storage: Doing['context']['storage'], path: Path): Promise<void> {
  const writing = await storage.write(call, path, { size: 0, conditions: { ifMatch: '*' } })
  try {
    writing.body.end()
    await writing.commit()
  } catch (error) {
    await writing.discard(error)
    throw error
  }
}

export const getAcl: Operation = {
  action: 'read-acl',
  prepare(members, doing) {
    const path = at(doing, members.path())
    return async () => aclToJson((await doing.context.storage.getAcl(doing.call, path)).acl)
  },
}

export const setAcl: Operation = {
  action: 'write-acl',
  prepare(members, doing) {
    const path = at(doing, members.path())
    const given = members.any('acl')
    return async () => {
      const { storage } = doing.context
      // Its own owner and dialect fill what the sender leaves out.
      const { acl } = await storage.stat(doing.call, path)
      const { owner, group, dialect = 'rfc8881' } = acl ?? { owner: undefined, group: undefined }
      await storage.setAcl(doing.call, path, aclFromJson(given, { owner, group, dialect }))
      return {}
    }
  },
}

function told(doing: Doing, path: Path, entry: Entry): JsonAttributes {
  return attributesOf(entry, doing.x.principal, whereOf(doing, path))
}
