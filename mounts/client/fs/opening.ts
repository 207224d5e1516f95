/** Files are opened: for the first time, and again after the session that knew them. */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { members, strange } from '../members.ts'
import { Uncertain } from './failures.ts'
import type { Link } from './link.ts'
import { freshly, there } from './naming.ts'
import { raced } from './patience.ts'
import { release } from './releases.ts'
import type { Attributes, OpenOptions } from './remote.ts'
import { name, type Session } from './session.ts'
import { readAttributes } from './shapes.ts'

/** What a session calls an open file. */
export interface Held {
  readonly session: Session
  readonly handle: string
}

export interface Opened extends Held {
  readonly kind: 'read' | 'edit' | 'draft'
  readonly created: boolean
  /** Bytes that the gateway has taken may still be refused by its storage, and `commit` tells that. */
  readonly flushes: boolean
  readonly attributes: Attributes
}

type Signal = AbortSignal | undefined

export async function openFirst(link: Link, path: Path, options: OpenOptions, signal: Signal): Promise<Opened> {
  const began = performance.now()
  const { create } = options
  try {
    return await ask(link, wanted(path, options), signal, create !== undefined || options.truncate === true)
  } catch (error) {
    if (!(error instanceof Uncertain)) throw error
    if (!create?.exclusive) return openFirst(link, path, options, signal)
    // It was to be made, and may have been: an empty file of ours from just now is that one.
    const found = await there(freshly(link, path, signal, began))
    if (found === 'again') return openFirst(link, path, options, signal)
    if (found?.type !== 'file' || found.size !== 0) throw error
    const opened = await ask(link, { path, write: true, id: found.id }, signal, false)
    return { ...opened, created: true }
  }
}

/** Nothing else: the gateway refuses members that it does not know. */
function wanted(path: Path, { write, read, truncate, create }: OpenOptions): object {
  const making = create && { create: { exclusive: create.exclusive, mode: create.mode } }
  return { path, ...(write && { write }), ...(write && read && { read }), ...(truncate && { truncate }), ...making }
}

/**
 * The same object, without making or emptying anything. Throws `stale` where another one is at the path, or none.
 */
export async function openAgain(link: Link, path: Path, before: Opened): Promise<Opened> {
  const { id } = before.attributes
  try {
    const opened = await ask(link, { path, ...(before.kind === 'edit' && { write: true }), id }, undefined, false)
    if (opened.kind !== before.kind || opened.attributes.id !== id) throw gone(path)
    return opened
  } catch (error) {
    const { code } = StorageError.from(error)
    const isGone = ['not-found', 'no-parent', 'is-directory', 'not-directory', 'invalid'].includes(code)
    throw isGone ? gone(path, error) : error
  }
}

export function gone(path: Path, cause?: unknown): StorageError {
  return new StorageError('stale', 'the file that was open is not there any more', { path, cause })
}

async function ask(link: Link, content: unknown, signal: Signal, once: boolean): Promise<Opened> {
  // Broken off, it may have been answered already, and nobody would know what to give back.
  const opening = askNow(link, content, once)
  try {
    return await raced(opening, signal)
  } catch (error) {
    if (signal?.aborted)
      void opening.then(
        (opened) => release(link, opened),
        () => {},
      )
    throw error
  }
}

async function askNow(link: Link, content: unknown, once: boolean): Promise<Opened> {
  const { value, session } = await link.op('open', content, { once })
  const { handle, kind, created, flushes, attributes } = members(value)
  if (kind !== 'read' && kind !== 'edit' && kind !== 'draft') throw strange('kind')
  return {
    session,
    handle: name(handle, 'handle'),
    kind,
    created: created === true,
    flushes: flushes === true,
    attributes: readAttributes(attributes),
  }
}
