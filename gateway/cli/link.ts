/** `portolan link`: identities of issuers that are linked to one's account. They are linked with a browser. */

import { Command } from 'commander'
import type { RemoteLink } from '../../mounts/client/links.ts'
import { withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { harmless, say, sayJson, table } from './output.ts'
import { within } from './stage.ts'
import { namesOwners, type WhoseOptions, withWhose } from './whose.ts'

export function linkCommand(): Command {
  const command = new Command('link').description(
    'see and take back identities that are linked to your account (they are linked at /.portolan/account)',
  )
  command.addCommand(listCommand())
  command.addCommand(removeCommand())
  return command
}

function listCommand(): Command {
  return withWhose(withEndpoint(new Command('list').description('those of your account'))).action(
    async (_own: unknown, command: Command) => {
      const options: WhoseOptions = command.optsWithGlobals()
      await within(options, async (client) => {
        const links = await client.links.list(options)
        if (options.json) await sayJson(links)
        else if (links.length > 0) await say(table(links.map((link) => row(link, namesOwners(options)))))
      })
    },
  )
}

function row({ id, issuer, subject, label, user, note, expires }: RemoteLink, all: boolean): string[] {
  const who = all ? [harmless(user)] : []
  const end = label === undefined ? 'does not count now' : expires === undefined ? 'for good' : harmless(expires)
  return [harmless(id), ...who, end, `${harmless(subject)} at ${harmless(issuer)}  ${harmless(note)}`.trimEnd()]
}

function removeCommand(): Command {
  return withEndpoint(new Command('remove').description('take links back, with everything that was made by them'))
    .argument('<id...>', 'as `link list` shows them')
    .action(async (ids: string[], _own: unknown, command: Command) => {
      if (ids.some((id) => !/^[\w-]{1,64}$/.test(id))) throw new UsageError('an id is what `link list` shows')
      await within(command.optsWithGlobals(), async (client) => {
        for (const id of ids) await client.links.remove(id)
      })
    })
}
