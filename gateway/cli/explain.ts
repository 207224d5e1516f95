/** `portolan explain`: whether an action would be allowed, and what decides it. */

import { Argument, Command } from 'commander'
import { type Action, actions } from '../../acl/needs.ts'
import type { ExplainedStep } from '../../mounts/client/shapes.ts'
import { parsePath } from '../core/path.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { exitCode } from './exit.ts'
import { harmless, say, sayJson, table } from './output.ts'
import type { Status } from './program.ts'

interface ExplainOptions extends EndpointOptions {
  readonly user?: string
}

export function explainCommand(status: Status): Command {
  return withEndpoint(new Command('explain').description('tell whether something is allowed, and why'))
    .addArgument(new Argument('<action>', 'what would be done').choices(actions))
    .argument('<path>', 'absolute path in the namespace')
    .option('--user <name>', 'ask about another user (administrators only)')
    .addHelpText('after', '\nExit code 0 means allowed, 1 means refused or not known.')
    .action(async (action: Action, text: string, options: ExplainOptions) => {
      const client = await connect(options)
      try {
        const told = await client.explain(action, parsePath(text), options.user)
        status.code = told.allowed === true ? exitCode.done : exitCode.failed
        if (options.json) return await sayJson(told)
        const verdict = told.allowed === true ? 'may' : told.allowed === false ? 'may not' : 'may or may not'
        const who = told.principal.user ?? told.principal.id
        await say(`${harmless(who)} ${verdict} ${action} ${harmless(told.path)}`)
        await say(table(told.steps.map(stepRow)))
      } finally {
        client.close()
      }
    })
}

/** One step of an explanation as cells. */
export function stepRow({ check, allowed, reason }: ExplainedStep): string[] {
  const mark = allowed === true ? 'yes' : allowed === false ? 'NO' : harmless(allowed)
  const where = reason.path === undefined ? '' : ` (${harmless(reason.path)}${placeOf(reason.ace)})`
  return [`  ${harmless(check)}`, mark, `${harmless(reason.text)}${where}`]
}

/** Indices count from 0 as in the gateway's answers; nfs4_setfacl counts from 1. */
function placeOf(ace: number | undefined): string {
  return ace === undefined ? '' : `, entry ${ace + 1}`
}
