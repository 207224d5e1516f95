/** `portolan share`: links that open a file or directory to people without an account. */

import { Command } from 'commander'
import type { RemoteShare } from '../../mounts/client/shares.ts'
import { parsePath } from '../core/path.ts'
import { type EndpointOptions, withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { complain, harmless, say, sayJson, table } from './output.ts'
import { within } from './stage.ts'
import { until } from './times.ts'
import { namesOwners, type WhoseOptions, withWhose } from './whose.ts'

interface ShareOptions extends EndpointOptions {
  readonly read?: boolean
  readonly upload?: boolean
  readonly until?: number
  readonly ip?: readonly string[]
  readonly note?: string
}

export function shareCommand(): Command {
  const command = withEndpoint(new Command('share').description('make a link that opens without an account'))
    .usage('[options] <path> | list | revoke <id...>')
    .argument('<path>', 'a file, or a directory with all below')
    .option('--read', 'to look and download (default)')
    .option('--upload', 'to put new files there')
    .option('--until <time>', 'how long it opens, such as 12h, 7d or 2030-12-31', until)
    .option('--ip <network...>', 'only from these addresses or networks')
    .option('--note <text>', 'what to remember it by')
    .action(async (path: string, options: ShareOptions) => {
      await within(options, async (client) => {
        const allow = [
          ...(options.upload ? (['upload'] as const) : []),
          ...(mayRead(options) ? (['read'] as const) : []),
        ]
        const share = await client.share({
          path: parsePath(path),
          allow,
          networks: options.ip ?? [],
          ...(options.until !== undefined && { validity: options.until }),
          ...(options.note !== undefined && { note: options.note }),
        })
        if (options.json) await sayJson(share)
        else await say(harmless(share.url ?? ''))
        complainOfTime(share, options.until)
      })
    })
  command.addCommand(listCommand())
  command.addCommand(revokeCommand())
  return command
}

function mayRead({ read, upload }: ShareOptions): boolean {
  return read === true || upload !== true
}

/** No link outlives the credential it was made with. */
function complainOfTime({ expires }: RemoteShare, wanted: number | undefined): void {
  const given = (Date.parse(expires) - Date.now()) / 1000
  if (wanted === undefined || given >= wanted - 60) return
  complain(
    `the link opens until ${harmless(expires)} only: it ends with the credential that made it, or at the gateway's limit`,
  )
}

function listCommand(): Command {
  return withWhose(withEndpoint(new Command('list').description('links that you have made'))).action(
    async (_own: unknown, command: Command) => {
      const options: WhoseOptions = command.optsWithGlobals()
      await within(options, async (client) => {
        const shares = await client.shares(options)
        if (options.json) await sayJson(shares)
        else if (shares.length > 0) await say(table(shares.map((share) => row(share, namesOwners(options)))))
      })
    },
  )
}

function row({ id, user, path, allow, expires, note }: RemoteShare, all: boolean): string[] {
  const who = all ? [harmless(user)] : []
  return [
    harmless(id),
    ...who,
    harmless(expires),
    harmless(allow.join()),
    `${harmless(path)}${note ? `  ${harmless(note)}` : ''}`,
  ]
}

function revokeCommand(): Command {
  return withEndpoint(new Command('revoke').description('take links back'))
    .argument('<id...>', 'as `share list` shows them')
    .action(async (ids: string[], _own: unknown, command: Command) => {
      if (ids.some((id) => !/^[\w-]{1,64}$/.test(id))) throw new UsageError('an id is what `share list` shows')
      await within(command.optsWithGlobals(), async (client) => {
        for (const id of ids) await client.unshare(id)
      })
    })
}
