/** What the requests of mounts are answered with. */

import type { Path } from '../../core/path.ts'
import type { StorageOperations } from '../../core/storage.ts'
import type { Exchange } from '../../http/exchange.ts'
import type { Pacing } from '../pace.ts'
import type { Where } from './attributes.ts'
import type { Session } from './session.ts'
import type { Sessions } from './sessions.ts'

export interface FsContext {
  readonly storage: StorageOperations
  readonly sessions: Sessions
  /** Processes of this gateway. */
  readonly workers: number
  /** Names this start of the machine. */
  readonly boot: string | undefined
  /** Of questions about rights. */
  readonly pacing: Pacing
}

/** One request of a session. */
export interface Asked {
  readonly context: FsContext
  readonly session: Session
  readonly x: Exchange
}

/** Where `path` is, for the ids of objects there. */
export function whereOf({ context: { storage }, session, x }: Asked, path: Path): Where {
  return { path, storage: session.storageAt(path, () => storage.mounts(x.call).map((mount) => mount.path)) }
}
