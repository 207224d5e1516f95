/** Unfinished uploads as the gateway tells of them, read with suspicion. */

import { members, strange, text } from './members.ts'

export interface RemoteUpload {
  readonly id: string
  readonly path: string
  /** Bytes that are there. */
  readonly offset: number
  /** Bytes of the whole; undefined: nobody has told. */
  readonly length: number | undefined
  readonly user: string | undefined
  /** ISO 8601. */
  readonly created: string
  readonly expires: string
}

export interface RemoteUploads {
  list(): Promise<readonly RemoteUpload[]>
  cancel(id: string): Promise<void>
}

/** `ask` gets the collection; `remove` removes one from it. */
export function uploadsOver(ask: () => Promise<unknown>, remove: (id: string) => Promise<unknown>): RemoteUploads {
  return {
    async list() {
      const { uploads } = members(await ask())
      if (!Array.isArray(uploads)) throw strange('uploads')
      return uploads.map(readUpload)
    },
    async cancel(id) {
      await remove(id)
    },
  }
}

function readUpload(value: unknown): RemoteUpload {
  const { id, path, offset, length, user, created, expires } = members(value)
  return {
    id: text(id, 'id'),
    path: text(path, 'path'),
    offset: bytes(offset, 'offset'),
    length: length === null ? undefined : bytes(length, 'length'),
    user: user === null ? undefined : text(user, 'user'),
    created: text(created, 'created'),
    expires: text(expires, 'expires'),
  }
}

function bytes(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw strange(name)
  return value
}
