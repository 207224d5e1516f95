/** The directory that is mounted on: everything that can be wrong with it is said before anything is done. */

import { opendir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { StorageError } from '../../../gateway/core/errors.ts'
import { mountedAt } from './mountinfo.ts'

export interface Place {
  /** Absolute, without symbolic links. */
  readonly directory: string
  readonly mode: number
  /** By which it is known again. */
  readonly id: string
}

/** Throws `invalid` with the one line that says what to do. */
export async function checkPlace(given: string, user: { readonly uid: number }): Promise<Place> {
  const asked = resolve(given)
  await refuseMounted(asked, given)
  const directory = await resolved(asked, given)
  if (directory !== asked) await refuseMounted(directory, given)
  const found = await stat(directory, { bigint: true }).catch((error: NodeJS.ErrnoException) => cannot(given, error))
  if (!found.isDirectory()) throw new StorageError('invalid', `${given} is no directory`)
  if (user.uid !== 0 && Number(found.uid) !== user.uid) {
    throw new StorageError('invalid', `${given} belongs to another user: mount on a directory of your own`)
  }
  if (await isUsed(directory, given)) {
    throw new StorageError('invalid', `${given} is not empty: what is in it would be hidden`)
  }
  return { directory, mode: Number(found.mode), id: `${found.dev}:${found.ino}` }
}

/** Of a directory that may be a mount that has died, so only its parents are looked at. */
export async function mountPoint(given: string): Promise<string> {
  const asked = resolve(given)
  if (asked === '/' || (await mountedAt(asked))) return asked
  const parent = await realpath(dirname(asked)).catch((error: NodeJS.ErrnoException) => cannot(given, error))
  const below = join(parent, basename(asked))
  return (await mountedAt(below)) ? below : await resolved(asked, given)
}

async function refuseMounted(directory: string, given: string): Promise<void> {
  const mounted = await mountedAt(directory)
  // A volume of a container, which is a mount too, may well be what is to be mounted on.
  if (mounted?.type.startsWith('fuse')) {
    throw new StorageError('invalid', `${given} is a mount already, of ${mounted.source}: portolan umount ${given}`)
  }
}

async function resolved(asked: string, given: string): Promise<string> {
  return realpath(asked).catch((error: NodeJS.ErrnoException) => cannot(given, error))
}

async function isUsed(directory: string, given: string): Promise<boolean> {
  const listing = await opendir(directory).catch((error: NodeJS.ErrnoException) => cannot(given, error))
  try {
    return (await listing.read()) !== null
  } finally {
    await listing.close()
  }
}

const words: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist: make the directory first',
  ENOTDIR: 'is no directory',
  EACCES: 'is in a directory that you may not enter',
  ENOTCONN: 'is a mount whose program has died: portolan umount --lazy it first',
}

function cannot(given: string, error: NodeJS.ErrnoException): never {
  const word = words[error.code ?? ''] ?? `cannot be mounted on (${error.code})`
  throw new StorageError('invalid', `${given} ${word}`, { cause: error })
}
