/** `portolan acl who`: everybody who may do something with one object. */

import { Argument, Command } from 'commander'
import { type Action, actions } from '../../acl/needs.ts'
import type { RemoteEffective } from '../../mounts/client/explaining.ts'
import { parsePath } from '../core/path.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { complain, harmless, say, sayJson, table } from './output.ts'

interface WhoOptions extends EndpointOptions {
  readonly all?: boolean
}

export function whoCommand(): Command {
  return withEndpoint(new Command('who').description('list who may do something, by the ACLs as they are now'))
    .argument('<path>', 'absolute path in the namespace')
    .addArgument(new Argument('[action]', 'what would be done').choices(actions).default('read'))
    .option('--all', 'also those who may not')
    .addHelpText(
      'after',
      '\nFor create and mkdir name what would be made. It takes an administrator, or the right to read the ACL.',
    )
    .action(async (text: string, action: Action, options: WhoOptions) => {
      const path = parsePath(text)
      const client = await connect(options)
      try {
        const told = await client.questions.effective(action, path, options.all === true)
        if (options.json) return await sayJson(told)
        await show(told)
      } finally {
        client.close()
      }
    })
}

async function show(told: RemoteEffective): Promise<void> {
  const { path, action, owner, group, anonymous, users, lookedAt, notes } = told
  await say(`# file: ${harmless(path)}`)
  await say(`# owner: ${harmless(owner ?? 'unknown')}`)
  await say(`# group: ${harmless(group ?? 'unknown')}`)
  const allowed = users.filter((row) => row.allowed).length
  await say(
    `# may ${harmless(action)}: ${allowed} of ${lookedAt} accounts${anonymous ? ', and callers without a credential' : ''}`,
  )
  const rows = users.map((row) => {
    const where = row.path === undefined || row.path === path ? '' : ` (${harmless(row.path)})`
    return [harmless(row.user), row.allowed ? 'yes' : 'NO', `${harmless(row.text)}${where}`]
  })
  if (rows.length > 0) await say(table(rows))
  for (const note of notes) complain(harmless(note))
}
