/** Application passwords as the gateway tells of them, read with suspicion. */

import { readParts, type Whose } from './lists.ts'
import { members, text, texts } from './members.ts'

export interface AppPasswordOrder {
  readonly name: string
  readonly path: string
  readonly allow: ReadonlyArray<'read' | 'write'>
  /** Seconds. */
  readonly validity?: number
  /** Networks that it is good from; anywhere if empty. */
  readonly networks: readonly string[]
}

export interface RemoteAppPassword {
  readonly id: string
  readonly user: string
  readonly name: string
  readonly path: string
  readonly allow: readonly string[]
  readonly networks: readonly string[]
  /** ISO 8601; undefined: never. */
  readonly used: string | undefined
  readonly expires: string
  /** Told to who has just made it. */
  readonly password?: string
}

export interface AppPasswords {
  /** Its `password` is told here and nowhere else. */
  make(order: AppPasswordOrder): Promise<RemoteAppPassword>
  list(whose: Whose): Promise<readonly RemoteAppPassword[]>
  revoke(id: string): Promise<void>
}

/** `ask` sends a request to the collection and gives the JSON of the answer; `remove` removes one from it. */
export function appPasswordsOver(
  ask: (method: 'GET' | 'POST', query: Readonly<Record<string, string>>, body?: string) => Promise<unknown>,
  remove: (id: string) => Promise<unknown>,
): AppPasswords {
  return {
    async make({ validity, ...same }) {
      const order = { ...same, ...(validity !== undefined && { validity: `PT${validity}S` }) }
      return readAppPassword(await ask('POST', {}, JSON.stringify(order)))
    },
    list: (whose) => readParts('appPasswords', whose, (query) => ask('GET', query), readAppPassword),
    async revoke(id) {
      await remove(id)
    },
  }
}

function readAppPassword(value: unknown): RemoteAppPassword {
  const { id, user, name, path, allow, networks, used, expires, password } = members(value)
  return {
    id: text(id, 'id'),
    user: text(user, 'user'),
    name: text(name, 'name'),
    path: text(path, 'path'),
    allow: texts(allow, 'allow'),
    networks: texts(networks, 'networks'),
    used: used === null ? undefined : text(used, 'used'),
    expires: text(expires, 'expires'),
    ...(typeof password === 'string' && { password }),
  }
}
