/** What signing in keeps: sessions of browsers, application passwords, and who guessed wrong. Times are milliseconds since 1970. */

import type { ListPlace } from './list-part.ts'

/** A session. What opens it is not kept, only a hash of that. */
export interface StoredSession {
  readonly id: string
  readonly hash: string
  /** `Principal.id` and `Principal.user` of whoever signed in. */
  readonly principal: string
  readonly user: string
  /** How he signed in, as JSON. */
  readonly facts: string
  /** What the browser calls itself, and where it called from. */
  readonly agent: string
  readonly from: string
  readonly created: number
  readonly used: number
  readonly expires: number
}

export interface SessionStore {
  now(): number
  /** Those that have ended go, and of the user's own the oldest past `most`. */
  add(session: Omit<StoredSession, 'created' | 'used'>, most: number): Promise<StoredSession>
  /** By the hash of what opens it. None that has ended. */
  find(hash: string): Promise<StoredSession | undefined>
  get(id: string): Promise<StoredSession | undefined>
  /** Those of one user, or all, that have not ended and were used after `used`; the newest first, `most` at most behind `after`. */
  list(user: string | undefined, used: number, most: number, after?: ListPlace): Promise<readonly StoredSession[]>
  /** It was used now. */
  touch(id: string): Promise<void>
  /** Tells whether it was there. */
  remove(id: string): Promise<boolean>
}

/** An application password. The password itself is not kept, only a hash of it. */
export interface StoredAppPassword {
  readonly id: string
  readonly hash: string
  /** `Principal.id` and `Principal.user` of whoever made it. */
  readonly principal: string
  readonly user: string
  readonly name: string
  /** Its bounds, as JSON. */
  readonly terms: string
  readonly created: number
  readonly used: number | undefined
  readonly expires: number
}

export interface AppPasswordStore {
  now(): number
  /** Throws `busy` when the user would have more than `most`, `exists` where he has one of this name. Those that have ended go. */
  add(password: Omit<StoredAppPassword, 'created' | 'used'>, most: number): Promise<StoredAppPassword>
  /** None that has ended. */
  get(id: string): Promise<StoredAppPassword | undefined>
  /** Those of one user, or all, that have not ended; the newest first, `most` at most behind `after`. */
  list(user: string | undefined, most: number, after?: ListPlace): Promise<readonly StoredAppPassword[]>
  /** It was used now. */
  touch(id: string): Promise<void>
  /** Tells whether it was there. */
  remove(id: string): Promise<boolean>
}

/** How often a password was guessed wrong, for one account, one address, or both together. */
export interface Tally {
  readonly failures: number
  /** No further try before it. */
  readonly notBefore: number
  /** When the right password came from there; 0: never. */
  readonly good: number
  readonly changed: number
}

export interface AttemptStore {
  now(): number
  /**
   * Gives `decide` the tallies of these names, and keeps those that it gives back in their order; undefined removes one.
   * Nobody else, in whatever process, comes in between. What `decide` throws is thrown, and nothing is kept then.
   * The number of tallies is bounded: those that were changed longest ago go.
   */
  change(
    names: readonly string[],
    decide: (before: ReadonlyArray<Tally | undefined>) => ReadonlyArray<Tally | undefined>,
  ): Promise<void>
}
