/** `portolan explain`: whether an action would be allowed, and what decides it. */

import { Argument, Command } from 'commander'
import { type Action, actions } from '../../acl/needs.ts'
import type { Explained, ExplainedStep, RemoteReason } from '../../mounts/client/explaining.ts'
import { parsePath } from '../core/path.ts'
import { connect, type EndpointOptions, findToken, withEndpoint } from './endpoint.ts'
import { exitCode, UsageError } from './exit.ts'
import { harmless, say, sayJson, table } from './output.ts'
import type { Status } from './program.ts'

interface ExplainOptions extends EndpointOptions {
  readonly user?: string
}

const help = `
--as USER asks as a user of the demo, where there is one here, and otherwise about USER, as --user does: that takes an
administrator. Exit code 0 means allowed, 1 means refused or not known.`

export function explainCommand(status: Status): Command {
  return withEndpoint(new Command('explain').description('tell whether something is allowed, and why'))
    .addArgument(new Argument('<action>', 'what would be done').choices(actions))
    .argument('<path>', 'absolute path in the namespace')
    .option('--user <name>', 'ask about another user (administrators only)')
    .addHelpText('after', help)
    .action(async (action: Action, text: string, options: ExplainOptions) => {
      const path = parsePath(text)
      const { endpoint, user } = await whom(options)
      const client = await connect(endpoint)
      try {
        const told = await client.questions.explain(action, path, user)
        status.code = told.allowed === true ? exitCode.done : exitCode.failed
        if (options.json) return await sayJson(told)
        await sayExplained(told)
      } finally {
        client.close()
      }
    })
}

/** As whom to ask, and about whom. */
async function whom({ user, ...options }: ExplainOptions): Promise<{ endpoint: EndpointOptions; user?: string }> {
  const { as, ...endpoint } = options
  if (as === undefined) return { endpoint: options, ...(user !== undefined && { user }) }
  if (user !== undefined) throw new UsageError('--as and --user both say whom it is about')
  try {
    await findToken(options)
    return { endpoint: options }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return { endpoint, user: as }
  }
}

async function sayExplained({ principal, action, path, allowed, identity, steps, advice }: Explained): Promise<void> {
  const verdict = allowed === true ? 'may' : allowed === false ? 'may not' : 'may or may not'
  await say(`${harmless(principal.user ?? principal.id)} ${verdict} ${harmless(action)} ${harmless(path)}`)
  const rows: string[][] = []
  for (const [index, step] of steps.entries()) {
    const [check = '', ...cells] = stepRow(step)
    rows.push([`${index + 1}. ${check.trim()}`, ...cells])
    if (step.check === 'credential') {
      for (const each of identity) rows.push(part(each.step, each.passed, harmless(each.text)))
    }
    for (const each of step.directories) rows.push(part(each.path, each.allowed, reasonText(each.reason)))
  }
  await say(table(rows))
  if (principal.groups.length > 0) await say(`In the groups ${principal.groups.map(harmless).join(', ')}.`)
  if (advice !== undefined) await say(`What to do: ${harmless(advice)}`)
}

function part(name: string, passed: boolean, text: string): string[] {
  return [`   - ${harmless(name)}`, passed ? 'yes' : 'NO', text]
}

/** One step of an explanation as cells. */
export function stepRow({ check, allowed, reason }: Omit<ExplainedStep, 'directories'>): string[] {
  const mark = allowed === true ? 'yes' : allowed === false ? 'NO' : harmless(allowed)
  const where = reason.path === undefined ? '' : ` (${harmless(reason.path)}${placeOf(reason.ace)})`
  return [`  ${harmless(check)}`, mark, `${harmless(reason.text)}${where}`]
}

function reasonText({ text, ace }: RemoteReason): string {
  return `${harmless(text)}${ace === undefined ? '' : ` (entry ${ace + 1})`}`
}

/** Indices count from 0 as in the gateway's answers; nfs4_setfacl counts from 1. */
function placeOf(ace: number | undefined): string {
  return ace === undefined ? '' : `, entry ${ace + 1}`
}
