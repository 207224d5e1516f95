/**
 * What must survive and be shared by all processes of one gateway installation: one small interface
 * over SQLite (one machine) and, later, PostgreSQL (several). All SQL is portable between both.
 *
 * Every method fails with StorageError: `busy` when other processes keep the store for seconds,
 * `no-space` when its disk is full, `unavailable` when it is closed or its disk fails.
 */

import type { BackendServices, StageState } from '../../backends/backend.ts'
import type { Path } from '../core/path.ts'

export interface State extends BackendServices {
  /** Small values of the gateway itself, such as the key check of the master key. */
  getSetting(name: string): Promise<string | undefined>
  setSetting(name: string, value: string): Promise<void>
  /** Values sealed with the master key, as they lie in the store; `gateway/state/secrets.ts` opens them. */
  readonly sealed: SealedValues
  readonly stagings: StagingStore
  close(): Promise<void>
}

/** Encrypted values by name. The store never sees what they hold. */
export interface SealedValues {
  get(name: string): Promise<string | undefined>
  set(name: string, sealed: string): Promise<void>
  remove(name: string): Promise<void>
  /** All names in order. */
  names(): Promise<readonly string[]>
  /** Replaces a value only where it still is `from`; tells whether it was. */
  exchange(name: string, from: string, to: string): Promise<boolean>
}

/** What one principal may have in the staging queue: as much again of it finished, of which the oldest goes first. */
export interface StagingBounds {
  /** Requests that are not finished. */
  readonly requests: number
  /** Files in them. */
  readonly files: number
}

/**
 * Requests to bring files from tape, with their files and what each back end was asked for. Safe with several
 * processes; times are milliseconds since 1970 on the clock of `now`.
 */
export interface StagingStore {
  now(): number
  /**
   * Adds a request, to disk, or gives the one of this principal that holds the claim already. Throws `busy` when
   * the principal would have more than `bounds`.
   */
  add(request: NewStaging, bounds: StagingBounds): Promise<{ readonly staging: Staging; readonly added: boolean }>
  /** The request of this principal that holds the claim. */
  claimed(principal: string, claim: string): Promise<Staging | undefined>
  get(id: string): Promise<Staging | undefined>
  /** In the order given to `add`; none for an unknown id. */
  files(id: string): Promise<readonly StagedFile[]>
  /** The back end is about to be asked; tells when it was asked first, if it was. */
  ask(id: string, mount: Path): Promise<number | undefined>
  /** The back end has answered with its own id. */
  place(id: string, mount: Path, order: string): Promise<void>
  /** Whether some request is known to have this id in that back end. */
  isOrder(backend: string, order: string): Promise<boolean>
  /** Takes the turn to look at the back end's progress: false if it is not yet `due`, or somebody else has just looked. */
  takePoll(id: string, mount: Path, due: number): Promise<boolean>
  /**
   * What has become of files, by their number. A final state stays as it is. When no file is left that waits, the
   * request is completed, and its claim is free again unless it is `lasting`.
   */
  update(id: string, changes: readonly FileChange[]): Promise<void>
  remove(id: string): Promise<void>
  /** Removes some requests completed before `completed`, and some created before `created`; false when none was left. */
  sweep(before: { readonly completed: number; readonly created: number }): Promise<boolean>
}

export interface NewStaging {
  readonly principal: string
  /** What makes a repeated request the same one. */
  readonly claim: string
  /** The claim is held also when the request is completed, until it is removed. */
  readonly lasting: boolean
  /** Tells requests of one claim apart. */
  readonly fingerprint: string
  readonly files: readonly NewStagedFile[]
  /** The mounts whose back ends are to be asked, each with the name of its back end. */
  readonly orders: ReadonlyArray<{ readonly mount: Path; readonly backend: string }>
}

export interface NewStagedFile {
  readonly path: Path
  /** In the terms of the back end. */
  readonly inner: Path
  /** The mount whose back end has it. */
  readonly mount: Path
  /** Seconds. */
  readonly lifetime: number | undefined
  readonly state: StageState
  /** The credential did not reach as far as this file. */
  readonly outside: boolean
  readonly error: string | undefined
}

export interface StagedFile extends NewStagedFile {
  /** Its place in the request, from 0. */
  readonly number: number
  readonly started: number | undefined
  readonly finished: number | undefined
}

export interface FileChange {
  readonly number: number
  readonly state: StageState
  readonly started?: number | undefined
  readonly finished?: number | undefined
  readonly error?: string | undefined
}

export interface Staging {
  readonly id: string
  readonly principal: string
  readonly fingerprint: string
  readonly created: number
  readonly started: number | undefined
  readonly completed: number | undefined
  readonly orders: readonly StagingOrder[]
}

/** What the back end of one mount was asked for. */
export interface StagingOrder {
  readonly mount: Path
  readonly backend: string
  /** When it was asked first; without an `order` the outcome is not known. */
  readonly asked: number | undefined
  /** The back end's own id. */
  readonly order: string | undefined
}
