/** Unfinished uploads as the gateway tells of them, read with suspicion. */

import { StorageError } from '../../gateway/core/errors.ts'

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

function members(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw strange('object')
  return value as Readonly<Record<string, unknown>>
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw strange(name)
  return value
}

function bytes(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw strange(name)
  return value
}

function strange(name: string): StorageError {
  return new StorageError('unavailable', `the answer is not that of a Portolan gateway (${name})`)
}
