/** Access keys of S3 as the gateway tells of them, read with suspicion. */

import { readParts, type Whose } from './lists.ts'
import { members, optional, strange, text, texts } from './members.ts'

export interface S3KeyOrder {
  readonly name: string
  readonly path: string
  readonly allow: ReadonlyArray<'read' | 'write'>
  /** Seconds. */
  readonly validity?: number
  /** Networks that it is good from; anywhere if empty. */
  readonly networks: readonly string[]
}

export interface RemoteS3Key {
  /** The access key id. */
  readonly id: string
  readonly user: string
  readonly name: string
  readonly enabled: boolean
  readonly path: string
  readonly allow: readonly string[]
  readonly networks: readonly string[]
  /** ISO 8601; undefined: never. */
  readonly used: string | undefined
  readonly expires: string
  /** Told to who has just made it. */
  readonly secret?: string
}

export interface RemoteS3Keys {
  /** Its `secret` is told here and nowhere else. */
  make(order: S3KeyOrder): Promise<RemoteS3Key>
  list(whose: Whose): Promise<readonly RemoteS3Key[]>
  setEnabled(id: string, enabled: boolean): Promise<void>
  remove(id: string): Promise<void>
  endSession(sessionToken: string): Promise<void>
}

export interface S3KeyRequests {
  /** Sends a request to the collection, or to one below it, and gives the JSON of the answer. */
  ask(
    method: 'GET' | 'POST' | 'PUT',
    below: string,
    query: Readonly<Record<string, string>>,
    body?: object,
  ): Promise<unknown>
  remove(id: string): Promise<unknown>
  endSession(sessionToken: string): Promise<unknown>
}

export function s3KeysOver({ ask, remove, endSession }: S3KeyRequests): RemoteS3Keys {
  return {
    async make({ validity, ...same }) {
      return readKey(
        await ask('POST', '', {}, { ...same, ...(validity !== undefined && { validity: `PT${validity}S` }) }),
      )
    },
    list: (whose) => readParts('keys', whose, (query) => ask('GET', '', query), readKey),
    async setEnabled(id, enabled) {
      await ask('PUT', `/${encodeURIComponent(id)}`, {}, { enabled })
    },
    async remove(id) {
      await remove(id)
    },
    async endSession(sessionToken) {
      await endSession(sessionToken)
    },
  }
}

function readKey(value: unknown): RemoteS3Key {
  const { id, user, name, enabled, path, allow, networks, used, expires, secret } = members(value)
  if (typeof enabled !== 'boolean') throw strange('enabled')
  return {
    id: text(id, 'id'),
    user: text(user, 'user'),
    name: text(name, 'name'),
    enabled,
    path: text(path, 'path'),
    allow: texts(allow, 'allow'),
    networks: texts(networks, 'networks'),
    used: optional(used),
    expires: text(expires, 'expires'),
    ...(typeof secret === 'string' && { secret }),
  }
}
