/** Asks a file system as the kernel would, and hears what it tells the kernel. */

import { parsePath } from '../../gateway/core/path.ts'
import { createFileSystem, type FileSystemOptions } from '../../mounts/fuse/file-system.ts'
import { createFileStore } from '../../mounts/fuse/files/files.ts'
import type { Context, DirectoryEntry, EntryReply, Notifier, Operations } from '../../mounts/fuse/operations.ts'
import { MemoryRemote } from './memory-remote.ts'

export class HeardNotices implements Notifier {
  readonly nodes: { nodeid: number; content: boolean }[] = []
  readonly entries: { directory: number; name: string }[] = []

  invalidateNode(nodeid: number, content: boolean): void {
    this.nodes.push({ nodeid, content })
  }

  invalidateEntry(directory: number, name: string): void {
    this.entries.push({ directory, name })
  }
}

export interface Mounted {
  readonly remote: MemoryRemote
  readonly system: Operations
  readonly heard: HeardNotices
  readonly log: string[]
  /** Moves the clock, in milliseconds. */
  wait(milliseconds: number): void
  /** Looks a path up name by name. */
  walk(path: string): Promise<EntryReply>
}

export function mounted(options: Partial<FileSystemOptions> = {}, remote = new MemoryRemote()): Mounted {
  let time = 1000
  const heard = new HeardNotices()
  const log: string[] = []
  const files = createFileStore({ largest: remote.largest })
  const system = createFileSystem({ remote, files }, heard, {
    ownership: { mine: { uid: 1000, gid: 100 }, others: { uid: 65534, gid: 65534 }, numeric: false },
    nearline: 'fail',
    log: (line) => log.push(line),
    now: () => time,
    ...options,
  })
  return {
    remote,
    system,
    heard,
    log,
    wait(milliseconds) {
      time += milliseconds
    },
    async walk(path) {
      let nodeid = 1
      let found: EntryReply | undefined
      for (const name of parsePath(path).split('/').slice(1)) {
        found = await system.lookup(asking(nodeid), name)
        nodeid = found.nodeid
      }
      if (!found) throw new Error('a path has a name')
      return found
    },
  }
}

export function asking(nodeid: number, who: Partial<Context> = {}): Context {
  return { nodeid, uid: 1000, gid: 100, pid: process.pid, signal: new AbortController().signal, ...who }
}

/** All entries of a directory, as many at a time as told. */
export async function listed(system: Operations, nodeid: number, plus = false, room = 100): Promise<DirectoryEntry[]> {
  const { fh } = await system.opendir(asking(nodeid))
  const all: DirectoryEntry[] = []
  for (;;) {
    const some = await listedFrom(system, nodeid, fh, all.at(-1)?.cookie ?? 0n, { plus, room })
    all.push(...some)
    if (some.length === 0) break
  }
  await system.releasedir(asking(nodeid), fh)
  return all
}

export async function listedFrom(
  system: Operations,
  nodeid: number,
  fh: number,
  cookie: bigint,
  { plus, room }: { readonly plus: boolean; readonly room: number },
): Promise<DirectoryEntry[]> {
  const some: DirectoryEntry[] = []
  const add = (entry: DirectoryEntry) => some.length < room && some.push(entry) > 0
  await system.readdir(asking(nodeid), fh, cookie, { add }, plus)
  return some
}
