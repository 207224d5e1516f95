/**
 * What must survive and be shared by all processes of one gateway installation: one small interface
 * over SQLite (one machine) and, later, PostgreSQL (several). All SQL is portable between both.
 *
 * Every method fails with StorageError: `busy` when other processes keep the store for seconds,
 * `no-space` when its disk is full, `unavailable` when it is closed or its disk fails.
 */

import type { BackendServices } from '../../backends/backend.ts'

export interface State extends BackendServices {
  /** Small values of the gateway itself, such as the key check of the master key. */
  getSetting(name: string): Promise<string | undefined>
  setSetting(name: string, value: string): Promise<void>
  /** Values sealed with the master key, as they lie in the store; `gateway/state/secrets.ts` opens them. */
  readonly sealed: SealedValues
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
