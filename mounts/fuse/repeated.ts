/**
 * Requests that the kernel asks for once more, since the process before this one has not answered them (FUSE_NOTIFY_RESEND).
 * It may have done them: what can be done once only is then found done, which is what was asked for.
 */

import { Errno } from './errno.ts'
import { errnoOf } from './errors.ts'
import type { Context, EntryReply, Operations } from './operations.ts'

const exclusive = 0o200
/** renameat2(2). */
const exchange = 2

/** The same operations; only those with a context that says `isRepeated` are other ones. */
export function repeatable(operations: Operations): Operations {
  const once = <Words extends readonly unknown[], Result>(
    usual: (context: Context, ...words: Words) => Promise<Result>,
    again: (context: Context, ...words: Words) => Promise<Result>,
  ) => {
    return (context: Context, ...words: Words) => (context.isRepeated ? again : usual)(context, ...words)
  }
  const made = async (
    context: Context,
    name: string,
    make: () => Promise<EntryReply>,
    isIt: (entry: EntryReply) => boolean | Promise<boolean>,
  ) => {
    try {
      return await make()
    } catch (error) {
      if (!isError(error, 'EEXIST')) throw error
      const entry = await operations.lookup(context, name)
      if (entry.nodeid !== 0 && (await isIt(entry))) return entry
      forget(operations, entry)
      throw error
    }
  }
  const { mkdir, symlink, link, create, unlink, rmdir, rename } = operations
  return {
    ...operations,
    mkdir: once(mkdir, (context, name, mode, umask) =>
      made(context, name, () => mkdir(context, name, mode, umask), isDirectory),
    ),
    symlink: once(symlink, (context, name, target) => {
      const make = () => symlink(context, name, target)
      return made(context, name, make, async (entry) => {
        return isLink(entry) && (await operations.readlink(at(context, entry.nodeid))) === target
      })
    }),
    link: once(link, (context, nodeid, name) =>
      made(
        context,
        name,
        () => link(context, nodeid, name),
        (entry) => entry.nodeid === nodeid,
      ),
    ),
    create: once(create, (context, name, flags, mode, umask) => create(context, name, flags & ~exclusive, mode, umask)),
    unlink: once(unlink, (context, name) => unlessGone(unlink(context, name))),
    rmdir: once(rmdir, (context, name) => unlessGone(rmdir(context, name))),
    rename: once(rename, async (context, name, directory, newName, flags) => {
      // Done twice it would be undone, and nobody knows.
      if (flags === exchange) throw new Errno('EIO')
      if (await isThere(operations, context, name)) return rename(context, name, directory, newName, flags)
      if (!(await isThere(operations, at(context, directory), newName))) throw new Errno('ENOENT')
    }),
  }
}

function isError(error: unknown, name: 'EEXIST' | 'ENOENT'): boolean {
  return errnoOf(error) === new Errno(name).number
}

const type = (entry: EntryReply) => (entry.attributes.mode >> 12) & 0xf
const isDirectory = (entry: EntryReply) => type(entry) === 4
const isLink = (entry: EntryReply) => type(entry) === 10

async function unlessGone(removing: Promise<void>): Promise<void> {
  try {
    await removing
  } catch (error) {
    if (!isError(error, 'ENOENT')) throw error
  }
}

async function isThere(operations: Operations, context: Context, name: string): Promise<boolean> {
  try {
    const entry = await operations.lookup(context, name)
    forget(operations, entry)
    return entry.nodeid !== 0
  } catch (error) {
    if (isError(error, 'ENOENT')) return false
    throw error
  }
}

/** The kernel does not learn of it. */
function forget(operations: Operations, { nodeid }: EntryReply): void {
  if (nodeid !== 0) operations.forget(nodeid, 1)
}

/** The same caller, about another object. */
function at(context: Context, nodeid: number): Context {
  const { uid, gid, pid } = context
  return {
    ...{ nodeid, uid, gid, pid },
    get signal() {
      return context.signal
    },
  }
}
