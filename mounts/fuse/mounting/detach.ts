/** Takes away mounts of ours, from outside of the program that serves them. */

import { StorageError } from '../../../gateway/core/errors.ts'
import { fusermountEnd } from './fusermount.ts'
import { detach, unmount } from './libc.ts'
import { type Mounted, mountedAt, mountType, usersOf } from './mountinfo.ts'
import { mayMount } from './privilege.ts'

/**
 * Only mounts of `portolan mount`, and only by who has made them or root. `directory` is absolute and without symbolic
 * links; messages name it as it was `given`. Throws `invalid`, `denied`, or `busy` with the processes that use it.
 */
export async function detachMount(directory: string, given: string, lazy: boolean): Promise<Mounted> {
  const mounted = await mountedAt(directory)
  if (!mounted) throw new StorageError('invalid', `${given} is not mounted`)
  if (mounted.type !== mountType) {
    throw new StorageError('invalid', `${given} is no mount of Portolan (it is of type ${mounted.type})`)
  }
  const uid = process.geteuid?.() ?? 0
  const owner = Number(mounted.options.find((option) => option.startsWith('user_id='))?.slice(8) ?? 0)
  if (uid !== 0 && uid !== owner) throw new StorageError('denied', `${given} is a mount of another user (uid ${owner})`)
  try {
    if (mayMount()) await unmount(directory, lazy ? detach : 0)
    else await fusermountEnd(directory, lazy)
  } catch (error) {
    throw await explained(error, directory, given)
  }
  return mounted
}

const mostNamed = 8

async function explained(error: unknown, directory: string, given: string): Promise<StorageError> {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EPERM') return new StorageError('denied', `${given} may not be unmounted from here`, { cause: error })
  if (code !== 'EBUSY' && code !== 'busy') return StorageError.from(error)
  const users = await usersOf(directory)
  const shown = users.slice(0, mostNamed).join(', ') + (users.length > mostNamed ? ' ...' : '')
  const by = users.length === 0 ? '' : ` by process ${shown}`
  return new StorageError('busy', `${given} is in use${by}: end them, or use --lazy`, { cause: error })
}
