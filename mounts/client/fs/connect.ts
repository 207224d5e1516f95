/** A gateway's namespace over HTTP, for a mount. */

import { Events } from './events.ts'
import { File } from './file.ts'
import { Link, type LinkOptions } from './link.ts'
import { openFirst } from './opening.ts'
import { pathOperations } from './operations.ts'
import type { RemoteFs } from './remote.ts'

export type FsOptions = Omit<LinkOptions, 'renewed'>

/**
 * Begins a session; one try, so that whoever mounts is told at once what is wrong. Throws `invalid` for a wrong address and
 * for a credential that would be readable on the way, `unauthenticated`, `unsupported` for a gateway of another version,
 * and `unavailable` for what is no Portolan gateway or cannot be reached. From then on everything is tried again for
 * `timeout`.
 */
export async function connectFs(options: FsOptions): Promise<RemoteFs> {
  const files = new Set<File>()
  const renewed = () => {
    // The first one has neither.
    events?.restart()
    for (const file of files) void file.revive()
  }
  let events: Events | undefined
  const link = new Link({ ...options, renewed })
  try {
    const { user, largest } = await link.session()
    const stream = new Events(link)
    events = stream
    stream.start()
    return {
      ...pathOperations(link),
      user,
      largest,
      get live() {
        return stream.isLive
      },
      async open(path, wanted, signal) {
        const file = new File(link, path, await openFirst(link, path, wanted, signal), (closed) => files.delete(closed))
        files.add(file)
        return file
      },
      watch: (changed) => stream.watch(changed),
      async close() {
        await stream.close()
        await Promise.all([...files].map((file) => file.close()))
        await link.close()
      },
    }
  } catch (error) {
    await link.close()
    throw error
  }
}
