/** Options of lists that an administrator may see of others. */

import type { Command } from 'commander'
import type { EndpointOptions } from './endpoint.ts'

export interface WhoseOptions extends EndpointOptions {
  readonly all?: boolean
  readonly user?: string
}

export function withWhose(command: Command): Command {
  return command
    .option('--all', 'those of everybody (for administrators)')
    .option('--user <name>', 'those of this user, such as alice@example.org (for administrators)')
}

/** Whether lines are to say whose they are. */
export function namesOwners({ all, user }: WhoseOptions): boolean {
  return all === true || user !== undefined
}
