/** What is done by path. */

import type { Acl } from '../../../acl/acl.ts'
import { aclFromJson, aclToJson } from '../../../acl/codec/json.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { members, strange, text } from '../members.ts'
import { SessionOver } from './failures.ts'
import type { Link } from './link.ts'
import { naming } from './naming.ts'
import type { Attributes, Changes, HeldRights, ListedEntry, RemoteFs, Space } from './remote.ts'
import { names, type Session } from './session.ts'
import { readAttributes, readChecksums, readHeldRights, readListing, readSpace } from './shapes.ts'

export type PathOperations = Omit<RemoteFs, 'user' | 'largest' | 'open' | 'watch' | 'close' | 'live'>

type Signal = AbortSignal | undefined

/** Of a listing that comes no further. */
const mostRestarts = 5

export function pathOperations(link: Link): PathOperations {
  const ask = async (name: string, content: unknown, signal: Signal) => (await link.op(name, content, { signal })).value
  /** May be done twice, but not late. */
  const put = async (name: string, content: unknown, signal: Signal) =>
    (await link.op(name, content, { signal, alters: true })).value
  /** Must not be done twice. */
  const tell = async (name: string, content: unknown, signal: Signal) =>
    (await link.op(name, content, { signal, once: true })).value
  const look = async (path: Path, signal: Signal) => readAttributes(await ask('stat', { path }, signal))

  return {
    ...naming(link),
    stat: look,
    list: (path, signal) => pages(link, path, signal),
    async change(path, changes, signal): Promise<Attributes> {
      return readAttributes(await put('change', { path, ...changesToJson(changes) }, signal))
    },
    rights: async (path, signal): Promise<HeldRights> => readHeldRights(await ask('rights', { path }, signal)),
    space: async (path, signal): Promise<Space> => readSpace(await ask('space', { path }, signal)),
    async listXattrs(path, signal) {
      return names(members(await ask('xattrs', { path }, signal)).names, 'names')
    },
    async getXattr(path, name, signal) {
      const { value } = members(await ask('get-xattr', { path, name }, signal))
      return value === null || value === undefined ? undefined : Buffer.from(text(value, 'value'), 'base64')
    },
    async setXattr(path, name, value, condition, signal) {
      const bytes = value === undefined ? null : Buffer.from(value).toString('base64')
      const content = { path, name, value: bytes, condition }
      await (condition === 'any' && value !== undefined ? put : tell)('set-xattr', content, signal)
    },
    getAcl: async (path, signal): Promise<Acl> => readAcl(await ask('get-acl', { path }, signal)),
    async setAcl(path, acl, signal) {
      await put('set-acl', { path, acl: aclToJson(acl) }, signal)
    },
    checksums: async (path, signal) => readChecksums(await ask('checksums', { path }, signal)),
    explain: async (path, signal) => text(members(await ask('explain', { path }, signal)).text, 'text'),
    async stage(path, signal) {
      await ask('stage', { path }, signal)
    },
  }
}

/** Of a listing that breaks off with its session the rest comes from a new one, if that goes through the same names. */
async function* pages(link: Link, path: Path, signal: Signal): AsyncGenerator<readonly ListedEntry[]> {
  let last: string | undefined
  let cursor: string | undefined
  let bound: Session | undefined
  let isSkipping = false
  let restarts = 0
  for (;;) {
    let page: ReturnType<typeof readListing>
    try {
      const content = { path, ...(cursor !== undefined && { cursor }) }
      const { value, session } = await link.op('list', content, { signal, ...(bound && { bound }) })
      page = readListing(value)
      bound = session
    } catch (error) {
      const isOver =
        error instanceof SessionOver || (cursor !== undefined && StorageError.from(error).code === 'invalid')
      if (!isOver) throw error
      // A gateway that forgets each listing at once would keep us going round for ever.
      if (++restarts > mostRestarts) throw new StorageError('unavailable', 'the listing breaks off each time', { path })
      cursor = undefined
      bound = undefined
      isSkipping = last !== undefined
      continue
    }
    let { entries } = page
    if (isSkipping) {
      const at = entries.findIndex(({ name }) => name === last)
      isSkipping = at < 0
      entries = at < 0 ? [] : entries.slice(at + 1)
    }
    if (entries.length > 0) {
      restarts = 0
      yield entries
    }
    last = entries.at(-1)?.name ?? last
    cursor = page.cursor
    if (cursor !== undefined) continue
    if (isSkipping) throw new StorageError('stale', 'the directory has changed while it was listed', { path })
    return
  }
}

/** Members that are undefined are left out by JSON. */
function changesToJson({ modified, accessed, mode, owner, group, size }: Changes): object {
  return { modified: modified?.toString(), accessed: accessed?.toString(), mode, owner, group, size }
}

function readAcl(value: unknown): Acl {
  try {
    return aclFromJson(value)
  } catch (cause) {
    throw strange('ACL', cause)
  }
}
