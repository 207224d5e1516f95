/** Names that come and go: what must not be done twice, and what came of it where the answer was lost. */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { Uncertain } from './failures.ts'
import type { Link } from './link.ts'
import { raced } from './patience.ts'
import { released } from './releases.ts'
import type { Attributes, RemoteFs } from './remote.ts'
import { readAttributes } from './shapes.ts'

type Signal = AbortSignal | undefined

/** Of something that is not done because the gateway ends each time. */
const mostAttempts = 5

export function naming(link: Link): Pick<RemoteFs, 'mkdir' | 'remove' | 'rename' | 'symlink' | 'link'> {
  const tell = async (name: string, content: unknown, signal: Signal) =>
    (await link.op(name, content, { signal, once: true })).value
  const make = async (name: string, content: unknown, signal: Signal) =>
    readAttributes(await tell(name, content, signal))
  const look = async (path: Path, signal: Signal) => readAttributes((await link.op('stat', { path }, { signal })).value)

  return {
    mkdir(path, mode, signal) {
      const began = performance.now()
      return settle(
        () => make('mkdir', { path, mode }, signal),
        async () => {
          const found = await there(freshly(link, path, signal, began))
          return found === undefined || found === 'again' || found.type === 'directory' ? found : undefined
        },
      )
    },
    async remove(path, type, signal) {
      if (type === 'directory') await raced(released(link), signal)
      await settle(
        () => tell('remove', { path, type }, signal),
        async () => ((await there(look(path, signal))) === 'again' ? true : 'again'),
      )
    },
    rename(path, to, how, signal) {
      return settle(
        () => make('rename', { path, to, how }, signal),
        async () => {
          // Of two that changed places nobody can tell.
          if (how === 'exchange') return undefined
          return (await there(look(path, signal))) === 'again' ? look(to, signal) : 'again'
        },
      )
    },
    symlink(path, target, signal) {
      return settle(
        () => make('symlink', { path, target }, signal),
        async () => {
          const found = await there(look(path, signal))
          return found === 'again' || (found.target === target && found.mine) ? found : undefined
        },
      )
    },
    link(path, to, signal) {
      return settle(
        () => make('link', { path, to }, signal),
        async () => {
          const made = await there(look(to, signal))
          return made === 'again' || made.id === (await look(path, signal)).id ? made : undefined
        },
      )
    },
  }
}

/**
 * What `work` gives. Where its answer was lost with the session, `look` tells what came of it: what it made, `again` where
 * it was not done, undefined where nobody can tell.
 */
export async function settle<T>(work: () => Promise<T>, look: () => Promise<T | 'again' | undefined>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof Uncertain)) throw error
      const found = await look()
      if (found === undefined || (found === 'again' && attempt === mostAttempts)) throw error
      if (found !== 'again') return found
    }
  }
}

/** What is at the path, if it is the caller's and was made since `began`, by the gateway's clock. */
export async function freshly(link: Link, path: Path, signal: Signal, began: number): Promise<Attributes | undefined> {
  const { value, headers } = await link.op('stat', { path }, { signal })
  const found = readAttributes(value)
  const now = Date.parse(headers.date ?? '')
  const age = now - Number(found.changed / 1_000_000n)
  // A Date header counts whole seconds.
  return found.mine && age <= performance.now() - began + 2000 ? found : undefined
}

/** `again`: there is nothing, so whatever was to be made there has not been. */
export async function there<T>(looking: Promise<T>): Promise<T | 'again'> {
  try {
    return await looking
  } catch (error) {
    if (StorageError.from(error).code === 'not-found') return 'again'
    throw error
  }
}
