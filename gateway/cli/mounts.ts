/** `portolan mounts`: the parts of the namespace, and what is to be known of them. */

import { Command } from 'commander'
import type { MountInfo } from '../../mounts/client/shapes.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { harmless, say, sayJson, table } from './output.ts'

export function mountsCommand(): Command {
  return withEndpoint(new Command('mounts').description('show the parts of the namespace')).action(
    async (options: EndpointOptions) => {
      const client = await connect(options)
      try {
        const found = await client.mounts()
        if (options.json) await sayJson({ mounts: found })
        else if (found.length > 0) await say(table(found.map((mount) => [harmless(mount.path), remarks(mount)])))
      } finally {
        client.close()
      }
    },
  )
}

function remarks({ note, readOnly, tape, versions }: MountInfo): string {
  return [
    ...(note === undefined ? [] : [harmless(note)]),
    ...(readOnly ? ['read-only'] : []),
    ...(tape === undefined
      ? []
      : [tape === 'on-read' ? 'tape, brought back on reading' : 'tape: stage before reading']),
    ...(versions ? ['earlier versions'] : []),
  ].join('; ')
}
