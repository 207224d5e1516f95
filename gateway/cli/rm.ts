/** `portolan rm`: removes files, and with --recursive directories. */

import { Command } from 'commander'
import type { Client } from '../../mounts/client/client.ts'
import type { RemoteEntry } from '../../mounts/client/shapes.ts'
import { StorageError } from '../core/errors.ts'
import { type Path, parsePath } from '../core/path.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { exitCode, report, UsageError } from './exit.ts'
import { harmless, sayJson } from './output.ts'
import type { Status } from './program.ts'

interface RmOptions extends EndpointOptions {
  readonly recursive?: boolean
  readonly force?: boolean
}

export function rmCommand(status: Status): Command {
  return withEndpoint(new Command('rm').description('remove files, and with --recursive directories'))
    .argument('<path...>', 'absolute paths in the namespace')
    .option('-r, --recursive', 'directories with everything in them, as far as you may')
    .option('-f, --force', 'what is not there is no failure')
    .action(async (texts: string[], options: RmOptions) => {
      const paths = texts.map(parsePath)
      const client = await connect(options)
      try {
        for (const path of paths) {
          const failure = await removed(client, path, options)
          if (options.json) await sayJson({ path, removed: failure === exitCode.done })
          status.code = Math.max(status.code, failure)
        }
      } finally {
        client.close()
      }
    })
}

/** The exit code of one removal; what failed is told at once, so that the others go on. */
async function removed(client: Client, path: Path, options: RmOptions): Promise<number> {
  try {
    await remove(client, path, options)
    return exitCode.done
  } catch (error) {
    if (options.force && error instanceof StorageError && error.code === 'not-found') return exitCode.done
    return report(error)
  }
}

async function remove(client: Client, path: Path, { recursive }: RmOptions): Promise<void> {
  const { type, etag } = await look(client, path)
  if (type !== 'directory') await client.remove(path, etag)
  else if (recursive) await client.removeTree(path)
  else throw new UsageError(`${harmless(path)} is a directory: use --recursive`)
}

/** What may be removed need not be readable. */
async function look(client: Client, path: Path): Promise<Pick<RemoteEntry, 'type' | 'etag'>> {
  try {
    return await client.stat(path)
  } catch (error) {
    if (StorageError.from(error).code !== 'denied') throw error
    return client.rights(path)
  }
}
