/** `portolan session`: browsers that are signed in. */

import { Command } from 'commander'
import type { RemoteSession, RemoteSessions } from '../../mounts/client/sessions.ts'
import { StorageError } from '../core/errors.ts'
import { withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { harmless, say, sayJson, table } from './output.ts'
import { within } from './stage.ts'
import { namesOwners, type WhoseOptions, withWhose } from './whose.ts'

export function sessionCommand(): Command {
  const command = new Command('session').description('browsers that are signed in as you: see them, sign them out')
  command.addCommand(listCommand())
  command.addCommand(endCommand())
  return command
}

function listCommand(): Command {
  return withWhose(withEndpoint(new Command('list').description('browsers that are signed in'))).action(
    async (options: WhoseOptions) => {
      await within(options, async (client) => {
        const sessions = await client.sessions.list(options)
        if (options.json) await sayJson(sessions)
        else if (sessions.length > 0) await say(table(sessions.map((each) => row(each, namesOwners(options)))))
      })
    },
  )
}

function row({ id, user, agent, from, used, expires }: RemoteSession, all: boolean): string[] {
  const who = all ? [harmless(user)] : []
  return [harmless(id), ...who, harmless(expires), `used ${harmless(used)}`, harmless(from), harmless(agent)]
}

function endCommand(): Command {
  return withWhose(withEndpoint(new Command('end').description('sign browsers out')))
    .usage('[options] <id...> | --user <name> | --all')
    .argument('[id...]', 'as `session list` shows them')
    .action(async (ids: string[], options: WhoseOptions) => {
      if (ids.some((id) => !/^[\w-]{1,64}$/.test(id))) throw new UsageError('an id is what `session list` shows')
      if (ids.length > 0 === namesOwners(options)) throw new UsageError('name either sessions, or whose are to end')
      await within(options, async (client) => {
        for (const id of ids) await client.sessions.end(id)
        if (ids.length > 0) return
        for (const { id } of await client.sessions.list(options)) await endIfThere(client.sessions, id)
      })
    })
}

/** One that has ended by itself since it was listed keeps none of the others from being ended. */
async function endIfThere(sessions: RemoteSessions, id: string): Promise<void> {
  try {
    await sessions.end(id)
  } catch (error) {
    if (StorageError.from(error).code !== 'not-found') throw error
  }
}
