/** Links and macaroons as the gateway tells of them, read with suspicion. */

import { members, text, texts } from './members.ts'

export interface ShareOrder {
  readonly path: string
  readonly allow: ReadonlyArray<'read' | 'upload'>
  /** Seconds. */
  readonly validity?: number
  /** Networks that it opens from; anywhere if empty. */
  readonly networks: readonly string[]
  readonly note?: string
}

export interface RemoteShare {
  readonly id: string
  readonly user: string
  readonly path: string
  readonly allow: readonly string[]
  readonly networks: readonly string[]
  /** ISO 8601. */
  readonly expires: string
  readonly note?: string
  /** Opens it; told to who has just made it. */
  readonly url?: string
}

/** The body that asks for a link. */
export function shareRequest({ validity, ...same }: ShareOrder): object {
  return { ...same, ...(validity !== undefined && { validity: `PT${validity}S` }) }
}

export function readShare(value: unknown): RemoteShare {
  const { id, user, path, allow, networks, expires, note, url } = members(value)
  return {
    id: text(id, 'id'),
    user: text(user, 'user'),
    path: text(path, 'path'),
    allow: texts(allow, 'allow'),
    networks: texts(networks, 'networks'),
    expires: text(expires, 'expires'),
    ...(typeof note === 'string' && { note }),
    ...(typeof url === 'string' && { url }),
  }
}

export function readMacaroon(value: unknown): { readonly macaroon: string; readonly seconds: number | undefined } {
  const { macaroon, expires_in: seconds } = members(value)
  return { macaroon: text(macaroon, 'macaroon'), seconds: typeof seconds === 'number' ? seconds : undefined }
}
