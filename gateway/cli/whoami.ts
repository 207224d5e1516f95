/** `portolan whoami`: what the gateway takes the caller for, and how it came to that. */

import { Command } from 'commander'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { harmless, say, sayJson, table } from './output.ts'

export function whoamiCommand(): Command {
  return withEndpoint(
    new Command('whoami').description('show what the gateway takes you for, and how it came to that'),
  ).action(async (options: EndpointOptions) => {
    const client = await connect(options)
    try {
      const me = await client.whoami(true)
      if (options.json) return await sayJson(me)
      const grants = me.grants === 'unbounded' ? ['whatever the ACLs allow'] : me.grants.map(grantText)
      await say(
        table([
          ['id', harmless(me.id)],
          ['user', harmless(me.user ?? 'none: only what is open to everyone')],
          ['groups', harmless(me.groups.join(', ')) || 'none'],
          ['may use', grants.join('\n         ') || 'nothing'],
          ['valid until', harmless(me.expires ?? 'no end')],
          ...(me.administrator ? [['administrator', 'yes']] : []),
        ]),
      )
      if (!me.steps || me.steps.length === 0) return
      await say('How that came:')
      const rows = me.steps.map(({ step, passed, text }) => [
        `  ${harmless(step)}`,
        passed ? 'yes' : 'NO',
        harmless(text),
      ])
      await say(table(rows))
    } finally {
      client.close()
    }
  })
}

function grantText(grant: { readonly kind: string; readonly path: string; readonly directoryOnly: boolean }): string {
  return `${harmless(grant.kind)} ${harmless(grant.path)}${grant.directoryOnly && grant.path !== '/' ? '/' : ''}`
}
