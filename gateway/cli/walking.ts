/** The files of a tree, as a listing after the other shows them. */

import type { Client } from '../../mounts/client/client.ts'
import { StorageError } from '../core/errors.ts'
import { checkName, join, type Path } from '../core/path.ts'
import { complain, harmless } from './output.ts'

/** All files below `path`, or itself if it is one. A directory that cannot be listed is complained of, and `failed` is called. */
export async function* filesBelow(client: Client, path: Path, failed: () => void): AsyncGenerator<Path> {
  const directories: Path[] = [path]
  for (let at = directories.pop(); at !== undefined; at = directories.pop()) {
    try {
      for await (const { name, type } of client.list(at)) {
        checkName(name)
        if (type === 'directory') directories.push(join(at, name))
        else if (type === 'file') yield join(at, name)
      }
    } catch (thrown) {
      const error = StorageError.from(thrown)
      // Only what was named by the caller can be a file here.
      if (at === path && error.code === 'not-directory') yield path
      else if (error.code === 'internal' || error.code === 'cancelled') throw thrown
      else {
        complain(`${harmless(at)}: ${error.message}`)
        failed()
      }
    }
  }
}
