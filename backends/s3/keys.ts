/** Keys of objects, of markers of directories and of sidecars; and the names that keys hold. */

import { StorageError } from '../../gateway/core/errors.ts'
import { checkName, nameOf, namesOf, type Path, parentOf, parsePath, root } from '../../gateway/core/path.ts'
import { longestKey } from './options.ts'

/** Does not exist for any operation, wherever it stands: another mount may have its top there. */
export const reserved = '.portolan'

export class Keys {
  /** Empty, or ends in a slash. */
  readonly prefix: string

  /** Throws `invalid` for a prefix that no path could be made of, or that lies among the sidecars of another. */
  constructor(prefix: string) {
    const path = parsePath(`/${prefix.replace(/^\/+|\/+$/g, '')}`)
    if (namesOf(path).includes(reserved)) throw new StorageError('invalid', `the name ${reserved} is reserved`)
    this.prefix = path === root ? '' : `${path.slice(1)}/`
  }

  object(path: Path): string {
    return this.prefix + path.slice(1)
  }

  /** Of the marker, and what all keys in the directory begin with; that of the top may be empty. */
  directory(path: Path): string {
    return path === root ? this.prefix : `${this.object(path)}/`
  }

  /** The colon keeps it apart from the directory of the same name. */
  sidecar(path: Path): string {
    return this.sidecarsIn(parentOf(path)) + nameOf(path)
  }

  /** What the keys of all sidecars of a directory's children begin with. That of the top is this alone. */
  sidecarsIn(directory: Path): string {
    return `${this.prefix}${reserved}/acl${directory === root ? '' : directory}/:`
  }

  /** A key for trying things. */
  trial(name: string): string {
    return `${this.prefix}${reserved}/trial/${name}`
  }

  /** How many of the path's names, from the top, something can have: none is reserved and the keys are short enough. */
  reach(path: Path): number {
    const names = namesOf(path)
    const last = names.indexOf(reserved)
    let bytes = Buffer.byteLength(this.sidecarsIn(root))
    let count = 0
    for (const name of last < 0 ? names : names.slice(0, last)) {
      bytes += Buffer.byteLength(name) + 1
      if (bytes > longestKey) break
      count++
    }
    return count
  }

  /** Throws `denied` or `name-too-long` for a path that nothing can have. */
  requireReach(path: Path): void {
    if (namesOf(path).includes(reserved)) {
      const reason = { rule: 'reserved', text: `the name ${reserved} is reserved`, path }
      throw new StorageError('denied', 'the name is reserved', { path, reason })
    }
    if (this.reach(path) < namesOf(path).length) {
      throw new StorageError('name-too-long', `a key of this storage is at most ${longestKey} bytes long`, { path })
    }
  }
}

/** A key or prefix of a listing, which may or may not tell that it encodes them; undefined for one that is not UTF-8. */
export function decodeKey(encoded: string, encoding: string | undefined): string | undefined {
  if (encoding !== 'url') return encoded
  try {
    return decodeURIComponent(encoded.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** Whether a key's part is a name that a path can hold. */
export function isName(name: string): boolean {
  try {
    checkName(name)
  } catch {
    return false
  }
  return name !== reserved
}

/** The header of a copy: bucket and key, each name percent-encoded (CopyObject, x-amz-copy-source). */
export function copySource(bucket: string, key: string): string {
  return `${bucket}/${key}`.split('/').map(encodeURIComponent).join('/')
}

/** Order of UTF-8 bytes, which listings have. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
