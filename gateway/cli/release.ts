/** `portolan release`: files that were staged need not stay on disk any longer. */

import { Command } from 'commander'
import { parsePath } from '../core/path.ts'
import { type EndpointOptions, withEndpoint } from './endpoint.ts'
import { within } from './stage.ts'

/** Files of one question. */
const batch = 10_000

export function releaseCommand(): Command {
  return withEndpoint(new Command('release').description('let go of files that a request keeps on disk'))
    .argument('<id>', 'the request')
    .argument('[path...]', 'these files only (default: all of the request)')
    .action(async (id: string, texts: string[], options: EndpointOptions) => {
      const named = texts.map(parsePath)
      await within(options, async (client) => {
        const paths = named.length > 0 ? named : (await client.stageStatus(id)).files.map(({ path }) => path)
        for (let at = 0; at < paths.length; at += batch) await client.release(id, paths.slice(at, at + batch))
      })
    })
}
