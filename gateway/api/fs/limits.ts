/** What one process keeps for mounts. */

export interface MountLimits {
  /** Sessions of one principal (of one address, without a credential). */
  readonly sessionsPerPrincipal: number
  readonly sessions: number
  /** Open files of one session. */
  readonly filesPerSession: number
  /** Open files of all sessions. */
  readonly files: number
  /** Seconds that a session lives without a request or an event stream. */
  readonly lease: number
}

export const defaultMountLimits: MountLimits = {
  sessionsPerPrincipal: 256,
  sessions: 4096,
  filesPerSession: 4096,
  files: 8192,
  lease: 60,
}

/** Bytes of one request. */
export const largest = { read: 4 * 1024 * 1024, write: 1024 * 1024 } as const
/** Entries of one page of a listing. */
export const largestPage = 1000
