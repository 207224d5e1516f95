/** Access keys of S3 as they are kept: all but their secrets, which `secrets.ts` seals. Times are milliseconds since 1970. */

import type { ListPlace } from './list-part.ts'

export interface StoredS3Key {
  /** The access key id. */
  readonly id: string
  /** `Principal.id` and `Principal.user` of whoever made it. */
  readonly principal: string
  readonly user: string
  readonly name: string
  /** Its bounds, as JSON. */
  readonly terms: string
  readonly enabled: boolean
  readonly created: number
  readonly used: number | undefined
  readonly expires: number
}

export interface S3KeyStore {
  now(): number
  /** Throws `busy` when the user would have more than `most`, `exists` where he has one of this name, or one has this id. */
  add(key: Omit<StoredS3Key, 'created' | 'used' | 'enabled'>, most: number): Promise<StoredS3Key>
  /** None that has ended. */
  get(id: string): Promise<StoredS3Key | undefined>
  /** Those of one user, or all, that have not ended; the newest first, `most` at most behind `after`. */
  list(user: string | undefined, most: number, after?: ListPlace): Promise<readonly StoredS3Key[]>
  /** It was used now. */
  touch(id: string): Promise<void>
  /** Tells whether it was there. */
  setEnabled(id: string, enabled: boolean): Promise<boolean>
  /** Tells whether it was there. */
  remove(id: string): Promise<boolean>
  /** Ids of some that have ended, and are to be removed with their secrets. */
  ended(): Promise<readonly string[]>
}
