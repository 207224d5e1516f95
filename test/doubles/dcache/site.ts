/** What the doors, the pools and the frontend of one stand-in share. */

import type { Gate } from './access.ts'
import type { Bulk } from './bulk.ts'
import type { Channels } from './channels.ts'
import type { Clock } from './clock.ts'
import type { Keeping } from './content.ts'
import type { Logins } from './login.ts'
import type { Macaroons } from './macaroons.ts'
import type { DcacheDoubleOptions } from './options.ts'
import type { Pools } from './pools.ts'
import type { Quotas } from './quotas.ts'
import type { Tape } from './tape.ts'
import type { Tree } from './tree.ts'

export interface Site {
  readonly options: DcacheDoubleOptions
  readonly clock: Clock
  readonly tree: Tree
  readonly gate: Gate
  readonly logins: Logins
  readonly macaroons: Macaroons
  readonly pools: Pools
  readonly tape: Tape
  readonly quotas: Quotas
  readonly keeping: Keeping
  readonly bulk: Bulk
  readonly channels: Channels
}
