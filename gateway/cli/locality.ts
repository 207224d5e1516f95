/** `portolan locality`: whether files are on disk or on tape. */

import { Command } from 'commander'
import type { ArchiveInfo } from '../../mounts/client/tape.ts'
import { parsePath } from '../core/path.ts'
import { type EndpointOptions, withEndpoint } from './endpoint.ts'
import { exitCode } from './exit.ts'
import { complain, harmless, say, sayJson, table } from './output.ts'
import type { Status } from './program.ts'
import { within } from './stage.ts'

/** Files of one question. */
const batch = 1000

export function localityCommand(status: Status): Command {
  return withEndpoint(new Command('locality').description('tell whether files are on disk or on tape'))
    .argument('<path...>', 'absolute paths in the namespace')
    .action(async (texts: string[], options: EndpointOptions) => {
      const paths = texts.map(parsePath)
      await within(options, async (client) => {
        const found: ArchiveInfo[] = []
        for (let at = 0; at < paths.length; at += batch)
          found.push(...(await client.locality(paths.slice(at, at + batch))))
        const told = found.flatMap(({ path, locality }) => (locality ? [[locality, harmless(path)]] : []))
        if (options.json) await sayJson(found)
        else if (told.length > 0) await say(table(told))
        for (const { path, locality, error } of found) {
          if (locality) continue
          status.code = exitCode.failed
          if (!options.json) complain(`${harmless(path)}: ${harmless(error ?? 'not told')}`)
        }
      })
    })
}
