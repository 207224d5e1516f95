/** Files that a session has open. */

import type { Principal } from '../../../acl/principal.ts'
import type { EditableFile, Entry, OpenFile, Range } from '../../../backends/backend.ts'
import { StorageError } from '../../core/errors.ts'
import type { Path } from '../../core/path.ts'
import { attributesOf, type JsonAttributes, type Where } from './attributes.ts'
import type { Draft } from './draft.ts'

/** What all kinds have in common. */
interface Common {
  readonly id: string
  readonly where: Where
  readonly created: boolean
}

export interface Reader extends Common {
  readonly kind: 'read'
  readonly file: OpenFile
}

export interface Editor extends Common {
  readonly kind: 'edit'
  readonly file: EditableFile
}

export interface Drafting extends Common {
  readonly kind: 'draft'
  readonly file: Draft
}

export type Content = Reader | Editor | Drafting

/** One of them, with those that are working with it. */
export class Handle {
  readonly content: Content
  /** Where it is now, as far as this session has moved it. */
  path: Path
  /** The file was at least so long when it was last looked at. */
  size: number
  /** Under way. */
  readonly #writes = new Set<Range & { readonly done: Promise<void> }>()
  #users = 0
  #closing: (() => void) | undefined
  #closed: Promise<void> | undefined

  constructor(content: Content) {
    this.content = content
    this.path = content.where.path
    this.size = content.kind === 'draft' ? 0 : content.file.entry.size
  }

  /** Runs `work` while the file is open. Throws `stale` once it is closed. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw closed()
    this.#users++
    try {
      return await work()
    } finally {
      this.#users--
      if (this.#users === 0) this.#closing?.()
    }
  }

  /**
   * Runs `work`, which writes these bytes, after all of them that came before. Whoever was not answered sends them again, and
   * then newer ones: the oldest must not be the last.
   */
  async inOrder<T>(range: Range, work: () => Promise<T>): Promise<T> {
    const { promise: done, resolve } = Promise.withResolvers<void>()
    const before = [...this.#writes].filter(({ start, end }) => start < range.end && range.start < end)
    const own = { ...range, done }
    this.#writes.add(own)
    try {
      await Promise.all(before.map((write) => write.done))
      return await work()
    } finally {
      this.#writes.delete(own)
      resolve()
    }
  }

  /** After those who work with it: a descriptor that is closed under them may be another file's. Harmless twice; never fails. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    if (this.#users > 0) await new Promise<void>((resolve) => (this.#closing = resolve))
    try {
      await this.content.file.close()
    } catch {
      // It is in the audit log; whoever wanted to know what became of the bytes has asked for a sync.
    }
  }
}

/** Throws `invalid` for a file that is open for something else. */
export function requireReadable({ content }: Handle): OpenFile {
  if (content.kind === 'draft') throw new StorageError('unsupported', 'what is being written anew cannot be read yet')
  return content.file
}

export function requireEditor({ content }: Handle): EditableFile {
  if (content.kind === 'edit') return content.file
  if (content.kind === 'draft') throw new StorageError('unsupported', 'files of this mount are written anew as a whole')
  throw new StorageError('invalid', 'the file is open for reading')
}

/** Attributes as they are now. */
export async function entryOf({ content }: Handle): Promise<Entry> {
  if (content.kind === 'draft') return content.file.entry
  if (content.kind === 'edit') return content.file.stat()
  const { file } = content
  return file.stat ? file.stat() : file.entry
}

/** What is told of them, by the place where the file is now. */
export function attributesOfOpen({ content, path }: Handle, entry: Entry, principal: Principal): JsonAttributes {
  return attributesOf(entry, principal, { ...content.where, path })
}

function closed(): StorageError {
  return new StorageError('stale', 'the file is not open any more')
}
