/** `portolan uploads`: uploads that are not finished, and taking them away. */

import { Command } from 'commander'
import type { RemoteUpload } from '../../mounts/client/uploads.ts'
import { type EndpointOptions, withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { harmless, say, sayJson, table } from './output.ts'
import { within } from './stage.ts'

export function uploadsCommand(): Command {
  const about = 'show uploads that are not finished: yours, or as an administrator those of all'
  const command = withEndpoint(new Command('uploads').description(about)).action(async (options: EndpointOptions) => {
    await within(options, async (client) => {
      const uploads = await client.uploads.list()
      if (options.json) await sayJson({ uploads })
      else if (uploads.length > 0) await say(table(uploads.map(rowOf)))
    })
  })
  command.addCommand(cancelCommand())
  return command
}

function cancelCommand(): Command {
  return withEndpoint(new Command('cancel').description('take uploads away with all that has come of them'))
    .argument('<id...>', 'as `uploads` shows them')
    .action(async (ids: string[], _own: unknown, command: Command) => {
      if (ids.some((id) => !/^[\w-]{1,64}$/.test(id))) throw new UsageError('an id is what `uploads` shows')
      await within(command.optsWithGlobals(), async (client) => {
        for (const id of ids) await client.uploads.cancel(id)
      })
    })
}

function rowOf({ id, path, user, offset, length, expires }: RemoteUpload): string[] {
  const size = length === undefined ? `${offset} bytes` : `${offset} of ${length} bytes`
  return [harmless(id), harmless(user ?? ''), size, `until ${harmless(expires)}`, harmless(path)]
}
