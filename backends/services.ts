/** What back ends may use of the gateway. */

/**
 * What a back end may use of the gateway, handed in by the composition root: small stores that
 * outlive the process and are shared by all processes of one state store.
 */
export interface BackendServices {
  /** Files about to be made under a reserved name, so that a sweep finds them after a crash. */
  readonly journal: StagingJournal
  /** Properties that do not fit into extended attributes, by back-end object id. */
  readonly overflow: PropertyStore
  /** Mutual exclusion over all gateway processes of one state store. */
  readonly leases: Leases
}

export interface StagingJournal {
  /**
   * Written before the file is made. `place` is opaque to the store. `hasty`: the entry outlives this process but not
   * a power cut, as on mounts that promise no more of their files.
   */
  add(backend: string, place: string, options?: { readonly hasty?: boolean }): Promise<void>
  remove(backend: string, place: string): Promise<void>
  /** Entries older than `age` milliseconds whose owner process is gone or has not renewed them. */
  stale(backend: string, age: number): Promise<readonly string[]>
}

export interface PropertyStore {
  get(backend: string, id: string): Promise<ReadonlyMap<string, string>>
  set(backend: string, id: string, values: ReadonlyMap<string, string | undefined>): Promise<void>
  removeAll(backend: string, id: string): Promise<void>
}

export interface Leases {
  /**
   * Runs `work` while holding `key` alone among all processes; waits at most `wait` ms for it, then
   * throws `busy`. A holder that dies loses it after a few seconds.
   */
  withLease<T>(key: string, wait: number, work: () => Promise<T>): Promise<T>
}
