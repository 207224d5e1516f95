/** Identities of issuers that people linked to their accounts. Times are milliseconds since 1970. */

import type { ListPlace } from './list-part.ts'

export interface StoredLink {
  readonly id: string
  /** As in `iss` and `sub`: the two together are one identity. */
  readonly issuer: string
  readonly subject: string
  /** `Principal.user` of whoever has both. */
  readonly user: string
  /** `Principal.id` by which he was known when he linked them. */
  readonly by: string
  readonly note: string
  readonly created: number
  /** When both were proven, the last time. */
  readonly proven: number
}

export interface LinkStore {
  now(): number
  /**
   * To disk. An identity has one link: to the same user it is proven anew and keeps its id and note. Throws `exists` where it
   * is another user's, proven at `since` or later; `busy` when the user would have more than `most`.
   */
  add(
    link: Omit<StoredLink, 'created' | 'proven'>,
    bounds: { readonly most: number; readonly since: number },
  ): Promise<StoredLink>
  find(issuer: string, subject: string): Promise<StoredLink | undefined>
  get(id: string): Promise<StoredLink | undefined>
  /** Those of one user, or all; the newest first, `most` at most, behind a place if given. */
  list(user: string | undefined, most: number, after?: ListPlace): Promise<readonly StoredLink[]>
  /** To disk. Tells whether it was there. */
  remove(id: string): Promise<boolean>
}
