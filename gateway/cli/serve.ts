/** `portolan serve`: runs a gateway until it is told to end. */

import { Command } from 'commander'
import type { Ready } from '../supervisor.ts'
import { UsageError } from './exit.ts'
import { complain } from './output.ts'
import type { Status } from './program.ts'

/** Where the package for Debian puts it. */
export const defaultConfig = '/etc/portolan/portolan.yaml'

export function serveCommand(status: Status): Command {
  return new Command('serve')
    .description('run the gateway; SIGHUP takes over a changed file, SIGTERM lets transfers finish')
    .option('-c, --config <file>', 'the configuration', defaultConfig)
    .action(async ({ config }: { readonly config: string }) => {
      const { runGateway } = await import('../supervisor.ts')
      const { ConfigError } = await import('../config.ts')
      const onReady = ({ addresses, workers }: Ready) => {
        complain(`serves ${addresses.map(({ url }) => url).join(', ')} with ${workers} workers`)
      }
      try {
        status.code = await runGateway({ configFile: config, onReady })
      } catch (error) {
        throw error instanceof ConfigError ? new UsageError(error.message) : error
      }
    })
}
