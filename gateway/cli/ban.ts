/** `portolan ban`: for administrators, to let somebody in no more, at once and with whatever credential. */

import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import { type EndpointOptions, withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { harmless, say, sayJson, table } from './output.ts'
import { within } from './stage.ts'
import { until } from './times.ts'

interface BanOptions extends EndpointOptions {
  readonly until?: number
  readonly note?: string
}

export function banCommand(): Command {
  const command = withEndpoint(new Command('ban').description('let somebody in no more (for administrators)'))
    .usage('[options] <name> | token | list | lift <name>')
    .argument('<name>', 'user:NAME@DOMAIN, group:NAME@DOMAIN, principal:ID, token:ISSUER|JTI, macaroon:ID or s3-key:ID')
    .option('--until <time>', 'such as 12h or 7d (default: for good)', until)
    .option('--note <text>', 'why')
    .action(async (name: string, { until: validity, note, ...options }: BanOptions) => {
      await within(options, async (client) => {
        await client.bans.add(name, { validity, note })
        if (options.json) await sayJson({ name, ...(note !== undefined && { note }) })
      })
    })
  command.addCommand(tokenCommand())
  command.addCommand(listCommand())
  command.addCommand(liftCommand())
  return command
}

/** Never on the command line, where everybody on the machine can read it. */
function tokenCommand(): Command {
  const about = 'ban the token, macaroon, link or session token on standard input, by the name that it carries'
  return withEndpoint(new Command('token').description(about))
    .option('--note <text>', 'why')
    .action(async (_own: unknown, command: Command) => {
      const { note, ...options }: BanOptions = command.optsWithGlobals()
      const given = (await text(process.stdin)).trim()
      const credential = URL.parse(given)?.searchParams.get('authz') ?? given
      if (!/^[\x21-\x7e]+$/.test(credential)) throw new UsageError('standard input holds no token')
      await within(options, async (client) => {
        const named = await client.bans.addToken(credential, note)
        if (options.json) await sayJson(named)
        else await say(harmless(named.name))
      })
    })
}

function listCommand(): Command {
  return withEndpoint(new Command('list').description('who and what is banned or revoked')).action(
    async (_own: unknown, command: Command) => {
      const options: EndpointOptions = command.optsWithGlobals()
      await within(options, async (client) => {
        const bans = await client.bans.list()
        if (options.json) return await sayJson(bans)
        const rows = bans.map(({ name, until: end, by, note }) => [
          harmless(name),
          harmless(end ?? 'for good'),
          harmless(by),
          harmless(note),
        ])
        if (rows.length > 0) await say(table(rows))
      })
    },
  )
}

function liftCommand(): Command {
  return withEndpoint(new Command('lift').description('lift a ban'))
    .argument('<name>', 'as `ban list` shows it')
    .action(async (name: string, _own: unknown, command: Command) => {
      await within(command.optsWithGlobals(), (client) => client.bans.lift(name))
    })
}
