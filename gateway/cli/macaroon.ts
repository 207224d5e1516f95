/** `portolan macaroon`: makes macaroons of one's own rights, ends them, and renews the key they are made with. */

import { Command } from 'commander'
import { parsePath } from '../core/path.ts'
import { type EndpointOptions, withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { harmless, say, sayJson } from './output.ts'
import { within } from './stage.ts'
import { until } from './times.ts'

interface MacaroonOptions extends EndpointOptions {
  readonly activity?: string
  readonly until?: number
  readonly ip?: readonly string[]
  readonly maxUpload?: string
}

/** Longer ones are none. */
const maxInput = 16 * 1024

export function macaroonCommand(): Command {
  const command = withEndpoint(new Command('macaroon').description('hand on some of your rights, as a token'))
    .usage('[options] <path> | revoke | rotate')
    .argument('<path>', 'what it is for, with all below')
    .option(
      '--activity <list>',
      'DOWNLOAD, LIST, UPLOAD, DELETE, MANAGE, READ_METADATA, UPDATE_METADATA (default: all)',
    )
    .option('--until <time>', 'how long it is good, such as 2h or 7d', until)
    .option('--ip <network...>', 'only from these addresses or networks')
    .option('--max-upload <bytes>', 'for each upload')
    .action(async (path: string, options: MacaroonOptions) => {
      const { activity, ip, maxUpload } = options
      const caveats = [
        ...(activity === undefined ? [] : [`activity:${activity}`]),
        ...(ip === undefined ? [] : [`ip:${ip.join()}`]),
        ...(maxUpload === undefined ? [] : [`max-upload:${maxUpload}`]),
      ]
      await within(options, async (client) => {
        const made = await client.macaroon(parsePath(path), caveats, options.until)
        if (options.json) await sayJson(made)
        else await say(harmless(made.macaroon))
      })
    })
  command.addCommand(revokeCommand())
  command.addCommand(rotateCommand())
  return command
}

function revokeCommand(): Command {
  return withEndpoint(
    new Command('revoke').description('end the macaroon on standard input, and all made from the same one'),
  ).action(async (_own: unknown, command: Command) => {
    const text = await readInput()
    await within(command.optsWithGlobals(), (client) => client.revokeMacaroon(text))
  })
}

function rotateCommand(): Command {
  return withEndpoint(new Command('rotate').description('make further ones with a new key (for administrators)'))
    .option('--at-once', 'and end all macaroons and links made so far')
    .action(async (_own: unknown, command: Command) => {
      const options: EndpointOptions & { readonly atOnce?: boolean } = command.optsWithGlobals()
      await within(options, (client) => client.rotateMacaroons(options.atOnce === true))
    })
}

/** Not an argument: those can be seen by everybody on the machine. */
async function readInput(): Promise<string> {
  let text = ''
  for await (const part of process.stdin) {
    text += String(part)
    if (text.length > maxInput) break
  }
  const word = text.trim()
  if (word === '' || word.length > maxInput || /\s/.test(word)) throw new UsageError('standard input holds no macaroon')
  return word
}
