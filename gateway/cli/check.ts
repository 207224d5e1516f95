/** `portolan check`: tries everything that a configuration names. */

import { Command } from 'commander'
import type { Checked } from '../check.ts'
import { harmless, say, sayJson, table } from './output.ts'
import type { Status } from './program.ts'
import { defaultConfig } from './serve.ts'

interface CheckOptions {
  readonly config: string
  readonly json?: boolean
}

const marks = { ok: 'ok', warning: 'WARNING', error: 'ERROR' } as const

export function checkCommand(status: Status): Command {
  return new Command('check')
    .description('try everything a configuration names: mounts, keys, secrets, state, ports, clock')
    .option('-c, --config <file>', 'the configuration', defaultConfig)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nHere the exit code is 0 when all is well, 1 with warnings, 2 when something will not work.',
    )
    .action(async ({ config, json }: CheckOptions) => {
      const { checkWorld, statusOf } = await import('../check.ts')
      const found = await checkWorld(config)
      status.code = statusOf(found)
      if (json) return await sayJson({ status: status.code, findings: found })
      await say(table(found.map(rowOf)))
    })
}

function rowOf({ part, level, subject, text }: Checked): string[] {
  return [marks[level], harmless(part), harmless(subject), harmless(text)]
}
