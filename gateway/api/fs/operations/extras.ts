/** Operations about rights, space, and what goes along with files. */

import type { Action } from '../../../../acl/needs.ts'
import type { Digest } from '../../../../backends/backend.ts'
import { StorageError } from '../../../core/errors.ts'
import { join, type Path } from '../../../core/path.ts'
import type { Explanation } from '../../../core/storage.ts'
import { at, type Doing, type Operation } from './operation.ts'

const maxXattrName = 255
const maxXattrValue = 65_536

export const rights: Operation = {
  action: 'stat',
  prepare(members, doing) {
    const path = at(doing, members.path())
    return async () => {
      const { rights, actions } = await doing.context.storage.rights(doing.call, path, { closedToo: true })
      return { rights, actions }
    }
  },
}

export const space: Operation = {
  action: 'stat',
  prepare(members, doing) {
    const path = at(doing, members.path())
    return async () => {
      const { used, available, limit, files } = await doing.context.storage.usage(doing.call, path)
      return { used, available, limit, files: files && { used: files.used, limit: files.limit } }
    }
  },
}

export const xattrs: Operation = {
  action: 'read-properties',
  prepare(members, doing) {
    const path = at(doing, members.path())
    return async () => ({ names: await doing.context.storage.listXattrs(doing.call, path) })
  },
}

export const getXattr: Operation = {
  action: 'read-properties',
  prepare(members, doing) {
    const path = at(doing, members.path())
    const name = members.text('name', maxXattrName)
    return async () => {
      const value = await doing.context.storage.getXattr(doing.call, path, name)
      return { value: value === undefined ? null : Buffer.from(value).toString('base64') }
    }
  },
}

export const setXattr: Operation = {
  action: 'write-properties',
  once: true,
  prepare(members, doing) {
    const path = at(doing, members.path())
    const name = members.text('name', maxXattrName)
    const value = members.bytes('value', maxXattrValue)
    const condition = members.word('condition', ['any', 'absent', 'present'])
    return async () => {
      await doing.context.storage.setXattr(doing.call, path, name, value, condition)
      return {}
    }
  },
}

const digests: readonly Digest[] = [
  ...(['adler32', 'crc32', 'crc32c', 'crc64nvme'] as const),
  ...(['md5', 'sha-1', 'sha-256', 'sha-512'] as const),
]

export const checksums: Operation = {
  action: 'read',
  prepare(members, doing) {
    const path = at(doing, members.path())
    return async () => {
      const kept = await doing.context.storage.checksum(doing.call, path, digests, { keptOnly: true })
      return Object.fromEntries(
        Object.entries(kept).map(([kind, value]) => [kind, Buffer.from(value ?? []).toString('hex')]),
      )
    }
  },
}

export const stage: Operation = {
  action: 'stage',
  prepare(members, doing) {
    const path = at(doing, members.path())
    return async () => {
      const { staging } = doing.context.storage
      const { files } = await staging.progress(doing.call, await staging.stage(doing.call, [{ path }]))
      const [file] = files
      if (file?.state === 'failed')
        throw new StorageError('unavailable', 'the file cannot be brought from tape', { path })
      return {}
    }
  },
}

const ofFiles: readonly Action[] = ['stat', 'read', 'edit', 'remove', 'read-acl', 'write-acl']
const ofDirectories: readonly Action[] = ['stat', 'list', 'create', 'mkdir', 'remove', 'read-acl', 'write-acl']

export const explain: Operation = {
  action: 'stat',
  prepare(members, doing) {
    const path = at(doing, members.path())
    return async () => {
      const { storage, pacing } = doing.context
      pacing.spendCaller(doing.x, ofDirectories.length)
      const lines: string[] = []
      for (const action of await actionsOn(doing, path)) {
        lines.push(lineOf(await storage.explain(doing.call, action, isInside(action) ? join(path, 'new') : path)))
      }
      return { text: `${lines.join('\n')}\n` }
    }
  },
}

/** Asked of what might be made in the directory. */
function isInside(action: Action): boolean {
  return action === 'create' || action === 'mkdir'
}

async function actionsOn({ context, call }: Doing, path: Path): Promise<readonly Action[]> {
  try {
    const { type } = await context.storage.stat(call, path)
    return type === 'directory' ? ofDirectories : ofFiles
  } catch (error) {
    const { code } = StorageError.from(error)
    if (code !== 'denied' && code !== 'not-found') throw error
    return ofFiles
  }
}

/** The step that decided, in the words of `explain`. */
function lineOf({ action, allowed, steps, advice }: Explanation): string {
  const mark = allowed === true ? 'yes' : allowed === false ? 'NO' : 'unknown'
  // Of a yes the last word is the ACL's, where it had one.
  const spoke = steps.filter((step) => step.allowed !== 'not reached')
  const decisive =
    steps.find((step) => step.allowed === false) ?? spoke.find((step) => step.check === 'acl') ?? spoke.at(-1)
  const entry = decisive?.entry
  const where = entry ? ` (${entry.path}, entry ${entry.index + 1})` : ''
  const what = allowed === false && advice !== undefined ? ` ${advice}` : ''
  return `${action}: ${mark}${decisive ? `, ${decisive.reason.text}${where}.` : '.'}${what}`
}
