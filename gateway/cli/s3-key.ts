/** `portolan s3-key`: key pairs for programs that speak S3. */

import { Command } from 'commander'
import type { RemoteS3Key } from '../../mounts/client/s3-keys.ts'
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

export function s3KeyCommand(): Command {
  const command = new Command('s3-key').description('make access keys for programs that speak S3, and take them back')
  command.addCommand(createCommand())
  command.addCommand(listCommand())
  command.addCommand(switchCommand('disable', 'let access keys open nothing until they are enabled again'))
  command.addCommand(switchCommand('enable', 'let disabled access keys be good again'))
  command.addCommand(deleteCommand())
  command.addCommand(endCommand())
  return command
}

function createCommand(): Command {
  return withEndpoint(new Command('create').description('make an access key; its secret is shown once'))
    .argument('<name>', 'what to know it by')
    .option('--path <path>', 'for this directory and what lies below (default: everything)')
    .option('--read', 'only to look and download')
    .option('--until <time>', 'how long it is good for, such as 30d or 2030-12-31', until)
    .option('--ip <network...>', 'only from these addresses or networks')
    .action(async (name: string, options: MakeOptions) => {
      await within(options, async (client) => {
        const made = await client.s3Keys.make({
          name,
          path: parsePath(options.path ?? '/'),
          allow: options.read ? ['read'] : ['read', 'write'],
          networks: options.ip ?? [],
          ...(options.until !== undefined && { validity: options.until }),
        })
        if (options.json) await sayJson(made)
        else await say(`AWS_ACCESS_KEY_ID=${harmless(made.id)}\nAWS_SECRET_ACCESS_KEY=${harmless(made.secret ?? '')}`)
        complain(`for user ${harmless(made.user)}, until ${harmless(made.expires)}; the secret is not shown again`)
      })
    })
}

function listCommand(): Command {
  return withWhose(withEndpoint(new Command('list').description('those that you have made'))).action(
    async (options: WhoseOptions) => {
      await within(options, async (client) => {
        const keys = await client.s3Keys.list(options)
        if (options.json) await sayJson(keys)
        else if (keys.length > 0) await say(table(keys.map((key) => row(key, namesOwners(options)))))
      })
    },
  )
}

function row({ id, user, name, enabled, path, allow, used, expires }: RemoteS3Key, all: boolean): string[] {
  const who = all ? [harmless(user)] : []
  const last = used === undefined ? 'never used' : `used ${harmless(used)}`
  const state = enabled ? 'enabled' : 'disabled'
  return [
    harmless(id),
    ...who,
    state,
    harmless(expires),
    last,
    harmless(allow.join()),
    `${harmless(path)}  ${harmless(name)}`,
  ]
}

function switchCommand(name: 'enable' | 'disable', about: string): Command {
  return withEndpoint(new Command(name).description(about))
    .argument('<id...>', 'access key ids')
    .action(async (ids: string[], options: EndpointOptions) => {
      requireIds(ids)
      await within(options, async (client) => {
        for (const id of ids) await client.s3Keys.setEnabled(id, name === 'enable')
      })
    })
}

function deleteCommand(): Command {
  return withEndpoint(new Command('delete').description('take access keys back for good'))
    .argument('<id...>', 'access key ids')
    .action(async (ids: string[], options: EndpointOptions) => {
      requireIds(ids)
      await within(options, async (client) => {
        for (const id of ids) await client.s3Keys.remove(id)
      })
    })
}

function endCommand(): Command {
  const about = 'end the temporary keys whose session token is in the environment (AWS_SESSION_TOKEN)'
  return withEndpoint(new Command('end-session').description(about)).action(async (options: EndpointOptions) => {
    const token = process.env.AWS_SESSION_TOKEN
    if (!token) throw new UsageError('AWS_SESSION_TOKEN is not set')
    await within(options, (client) => client.s3Keys.endSession(token))
  })
}

function requireIds(ids: readonly string[]): void {
  if (!ids.every((id) => /^\w{16,128}$/.test(id))) throw new UsageError('an id is what `s3-key list` shows')
}
