/** Names that come from people and their browsers. */

import { StorageError } from '../../core/errors.ts'
import { checkName, join, type Path, root } from '../../core/path.ts'
import { ownPrefix } from '../../http/problem.ts'

/**
 * The name of an uploaded file. Some browsers send the path that it had: folders go, with slashes or, in what is a
 * whole path of Windows, with backslashes, which elsewhere belong to names, as colons do.
 */
export function cleanName(filename: string): string {
  const last = filename.slice(filename.lastIndexOf('/') + 1)
  return /^(?:[A-Za-z]:|\\)\\/.test(last) ? last.slice(last.lastIndexOf('\\') + 1) : last
}

/** Throws `invalid` or `name-too-long` for what cannot be a name in this directory, `denied` for what is ours. */
export function pathIn(directory: Path, name: string): Path {
  checkName(name)
  const path = join(directory, name)
  if (directory === root && path === ownPrefix) throw new StorageError('denied', 'this name is reserved', { path })
  return path
}

/** A name as our pages have it in links and buttons. Throws `invalid`. */
export function decodeName(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch (cause) {
    throw new StorageError('invalid', 'the name is not percent-encoded UTF-8', { cause })
  }
}
