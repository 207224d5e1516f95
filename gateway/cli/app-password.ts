/** `portolan app-password`: passwords for single programs, in place of one's own. */

import { Command } from 'commander'
import type { RemoteAppPassword } from '../../mounts/client/app-passwords.ts'
import { parsePath } from '../core/path.ts'
import { type EndpointOptions, withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { complain, harmless, say, sayJson, table } from './output.ts'
import { within } from './stage.ts'
import { until } from './times.ts'
import { namesOwners, type WhoseOptions, withWhose } from './whose.ts'

interface MakeOptions extends EndpointOptions {
  readonly path?: string
  readonly read?: boolean
  readonly until?: number
  readonly ip?: readonly string[]
}

export function appPasswordCommand(): Command {
  const about = 'make a password for one program, such as a WebDAV client'
  const command = withEndpoint(new Command('app-password').description(about))
    .usage('[options] <name> | list | revoke <id...>')
    .argument('<name>', 'what to know it by')
    .option('--path <path>', 'for this directory and what lies below (default: everything)')
    .option('--read', 'only to look and download')
    .option('--until <time>', 'how long it is good for, such as 30d or 2030-12-31', until)
    .option('--ip <network...>', 'only from these addresses or networks')
    .action(async (name: string, options: MakeOptions) => {
      await within(options, async (client) => {
        const made = await client.appPasswords.make({
          name,
          path: parsePath(options.path ?? '/'),
          allow: options.read ? ['read'] : ['read', 'write'],
          networks: options.ip ?? [],
          ...(options.until !== undefined && { validity: options.until }),
        })
        if (options.json) await sayJson(made)
        else await say(harmless(made.password ?? ''))
        complain(`for user ${harmless(made.user)}, until ${harmless(made.expires)}; it is not shown again`)
      })
    })
  command.addCommand(listCommand())
  command.addCommand(revokeCommand())
  return command
}

function listCommand(): Command {
  return withWhose(withEndpoint(new Command('list').description('those that you have made'))).action(
    async (_own: unknown, command: Command) => {
      const options: WhoseOptions = command.optsWithGlobals()
      await within(options, async (client) => {
        const passwords = await client.appPasswords.list(options)
        if (options.json) await sayJson(passwords)
        else if (passwords.length > 0) await say(table(passwords.map((each) => row(each, namesOwners(options)))))
      })
    },
  )
}

function row({ id, user, name, path, allow, used, expires }: RemoteAppPassword, all: boolean): string[] {
  const who = all ? [harmless(user)] : []
  const last = used === undefined ? 'never used' : `used ${harmless(used)}`
  return [harmless(id), ...who, harmless(expires), last, harmless(allow.join()), `${harmless(path)}  ${harmless(name)}`]
}

function revokeCommand(): Command {
  return withEndpoint(new Command('revoke').description('take application passwords back'))
    .argument('<id...>', 'as `app-password list` shows them')
    .action(async (ids: string[], _own: unknown, command: Command) => {
      if (ids.some((id) => !/^[\w-]{1,64}$/.test(id))) throw new UsageError('an id is what `app-password list` shows')
      await within(command.optsWithGlobals(), async (client) => {
        for (const id of ids) await client.appPasswords.revoke(id)
      })
    })
}
