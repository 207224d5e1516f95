/** `portolan locks` and `portolan unlock`: locks that WebDAV clients have taken, and ending them by hand. */

import { Command } from 'commander'
import type { Client } from '../../mounts/client/client.ts'
import type { LockInfo } from '../../mounts/client/shapes.ts'
import { StorageError } from '../core/errors.ts'
import { type Path, parsePath } from '../core/path.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { harmless, say, sayJson, table } from './output.ts'

export function locksCommand(): Command {
  return withEndpoint(new Command('locks').description('show locks: yours, or as an administrator those of all'))
    .argument('[path]', 'only those at this path, above it and below it')
    .action(async (text: string | undefined, options: EndpointOptions) => {
      const path = text === undefined ? undefined : parsePath(text)
      await using(options, async (client) => {
        const found = await client.locks(path)
        if (options.json) await sayJson({ locks: found })
        else if (found.length > 0) await say(table(found.map(rowOf)))
      })
    })
}

export function unlockCommand(): Command {
  return withEndpoint(new Command('unlock').description('end locks: yours, or as an administrator anybody’s'))
    .argument('<lock...>', 'tokens as `portolan locks` shows them, or paths that are locked')
    .action(async (texts: string[], options: EndpointOptions) => {
      await using(options, async (client) => {
        for (const text of texts) {
          const tokens = text.startsWith('/') ? await tokensAt(client, parsePath(text)) : [text]
          for (const token of tokens) await client.unlock(token)
        }
      })
    })
}

/** Those taken at this very path. */
async function tokensAt(client: Client, path: Path): Promise<readonly string[]> {
  const locks = (await client.locks(path)).filter((lock) => lock.path === path)
  if (locks.length === 0) throw new StorageError('not-found', 'no lock that you may end was taken there', { path })
  return locks.map(({ token }) => token)
}

async function using(options: EndpointOptions, work: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect(options)
  try {
    await work(client)
  } finally {
    client.close()
  }
}

function rowOf({ path, user, scope, depth, timeout, token }: LockInfo): string[] {
  const reach = depth === 'infinity' ? 'and below' : ''
  return [harmless(path), harmless(user ?? ''), scope, reach, `${timeout}s`, harmless(token)]
}
