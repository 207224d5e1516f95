/** `portolan token`: what a bearer token says and what it is worth. Never prints its signature. */

import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import { source, type TokenSource } from '../../mounts/client/token.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'
import { connect, type EndpointOptions, findToken, withEndpoint } from './endpoint.ts'
import { exitCode, UsageError } from './exit.ts'
import { harmless, say, sayJson, table } from './output.ts'
import type { Status } from './program.ts'
import type { Judged } from './token-judging.ts'

interface TokenOptions extends EndpointOptions {
  readonly offline?: boolean
  readonly config?: string
}

export function tokenCommand(status: Status): Command {
  return withEndpoint(new Command('token').description('decode and judge a bearer token'))
    .argument('[-]', 'read the token from standard input; it is never given on the command line')
    .option('--offline', 'do not ask the gateway')
    .option('--config <file>', 'judge by the configuration of a gateway on this machine')
    .addHelpText('after', '\nExit code 0 means that nothing speaks against the token, 1 that it is refused.')
    .action(async (input: string | undefined, options: TokenOptions) => {
      const found = await tokenOf(input, options)
      const { judge } = await import('./token-judging.ts')
      const judged = judge(found.token.reveal(), Date.now())
      const remote =
        options.config === undefined ? await askGateway(options, found) : await askConfig(options.config, found)
      const findings = [...judged.findings, ...remote]
      status.code = findings.some(({ passed }) => passed === false) ? exitCode.failed : exitCode.done
      if (options.json) return sayJson({ from: found.from, ...judged, findings })
      await show(found.from, { ...judged, findings })
    })
}

async function tokenOf(input: string | undefined, options: TokenOptions): Promise<TokenSource> {
  if (input === '-') return source(await text(process.stdin), 'standard input')
  if (input !== undefined) throw new UsageError('a token on the command line is seen by everyone here: use - or a file')
  const found = await findToken(options)
  if (!found) throw new UsageError('no token: set BEARER_TOKEN or BEARER_TOKEN_FILE, or use --token-file or -')
  return found
}

type Finding = Judged['findings'][number]

/** What the gateway makes of it: who its holder is there, or why it is refused. */
async function askGateway(options: TokenOptions, { token }: TokenSource): Promise<readonly Finding[]> {
  if (options.offline) return []
  const client = await connectWith(options, token)
  if (!client) return [{ check: 'gateway', passed: undefined, text: 'not asked: none is named' }]
  try {
    const { steps } = await client.questions.explain('stat', root)
    const [step] = steps.filter(({ check }) => check === 'credential')
    if (step?.allowed !== true) {
      const reason = step ? `${step.reason.text} (${step.reason.rule})` : 'it did not say why'
      return [{ check: 'gateway', passed: false, text: `refused by ${client.origin}: ${harmless(reason)}` }]
    }
    const { user, grants } = await client.whoami()
    const accepted = {
      check: 'gateway',
      passed: true,
      text: `accepted by ${client.origin} as ${harmless(user ?? 'nobody')}`,
    }
    if (grants === 'unbounded') return [accepted]
    const paths = grants.map(({ kind, path }) => ({
      check: 'grant',
      passed: true,
      text: `${harmless(kind)} ${harmless(path)}`,
    }))
    return [accepted, ...paths]
  } catch (error) {
    const { code, message } = StorageError.from(error)
    const passed = code === 'unauthenticated' || code === 'denied' ? false : undefined
    return [{ check: 'gateway', passed, text: harmless(message) }]
  } finally {
    client.close()
  }
}

async function connectWith(options: TokenOptions, token: TokenSource['token']) {
  try {
    return await connect(options, token)
  } catch (error) {
    if (error instanceof UsageError && options.url === undefined) return undefined
    throw error
  }
}

/** The same judgement, step by step, where the configuration and its keys can be read. */
async function askConfig(file: string, { token }: TokenSource): Promise<readonly Finding[]> {
  const { loadConfig } = await import('../config.ts')
  const { identityOptions } = await import('../serve/identity.ts')
  const { createIdentity } = await import('../../acl/identity/service.ts')
  const identity = await createIdentity(await identityOptions(await loadConfig(file)))
  try {
    const { steps, principal } = await identity.judge(token)
    const accepted = principal
      ? [{ check: 'account', passed: true, text: harmless(principal.user ?? principal.id) }]
      : []
    return [...steps.map(({ step, passed, text }) => ({ check: step, passed, text: harmless(text) })), ...accepted]
  } finally {
    identity.close()
  }
}

async function show(from: string, { header, claims, findings }: Judged): Promise<void> {
  await say(`Token from ${harmless(from)}`)
  for (const [title, values] of [
    ['Header', header],
    ['Claims', claims],
  ] as const) {
    if (!values) continue
    await say(`${title}:`)
    await say(table(Object.entries(values).map(([name, value]) => [`  ${harmless(name)}`, shown(name, value)])))
  }
  await say('Judgement:')
  const mark = (passed: boolean | undefined) => (passed === undefined ? '?' : passed ? 'yes' : 'NO')
  await say(table(findings.map(({ check, passed, text }) => [`  ${check}`, mark(passed), text])))
}

/** Times also as dates. */
function shown(name: string, value: unknown): string {
  const isTime =
    ['exp', 'nbf', 'iat', 'auth_time'].includes(name) && typeof value === 'number' && Math.abs(value) < 1e11
  if (isTime) return `${value} (${new Date(value * 1000).toISOString()})`
  return harmless(typeof value === 'string' ? value : JSON.stringify(value))
}
