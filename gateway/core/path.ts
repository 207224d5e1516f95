/**
 * Functional paths.
 *
 * A Path is absolute and normalised: "/" or "/a/b", and never holds "//", ".", ".." or a final
 * slash. Front ends decode their wire format once and call parsePath; from there on every module
 * may rely on the type. Names are never normalised (Unicode) and never case-folded.
 */

import { StorageError } from './errors.ts'

declare const brand: unique symbol
export type Path = string & { readonly [brand]: 'Path' }

export const root = '/' as Path

/** Longest path in bytes of UTF-8 (Linux PATH_MAX without the final NUL is 4,095; one more is refused there). */
export const maxPathBytes = 4096
/** Longest name in bytes of UTF-8. */
export const maxNameBytes = 255

/**
 * Checks an already percent-decoded path. A final slash is dropped: whether it was there is for the
 * front end to remember. Throws `invalid` or `name-too-long` rather than guessing what was meant.
 */
export function parsePath(text: string): Path {
  if (!text.startsWith('/')) throw new StorageError('invalid', 'the path is not absolute')
  if (text.length > maxPathBytes || Buffer.byteLength(text) > maxPathBytes) {
    throw new StorageError('name-too-long', `the path is longer than ${maxPathBytes} bytes`)
  }
  if (text === '/') return root
  const whole = text.endsWith('/') ? text.slice(0, -1) : text
  for (const name of whole.slice(1).split('/')) checkName(name)
  return whole as Path
}

/** Checks one name. Throws `invalid` or `name-too-long`. */
export function checkName(name: string): void {
  if (name === '') throw new StorageError('invalid', 'the path holds an empty name')
  if (name === '.' || name === '..') throw new StorageError('invalid', 'the path holds a dot segment')
  if (name.includes('\0') || name.includes('/')) throw new StorageError('invalid', 'the name holds a NUL or a slash')
  // A lone surrogate cannot be written as UTF-8, so it would name another file than the one asked for.
  if (!name.isWellFormed()) throw new StorageError('invalid', 'the name is not valid Unicode')
  if (name.length * 3 > maxNameBytes && Buffer.byteLength(name) > maxNameBytes) {
    throw new StorageError('name-too-long', `a name is longer than ${maxNameBytes} bytes`)
  }
}

/** Whether `path` is `top` or lies below it, by whole names: "/foo" holds "/foo/a", not "/foobar". */
export function isWithin(path: Path, top: Path): boolean {
  return top === root || path === top || (path.startsWith(top) && path.charCodeAt(top.length) === 47)
}

/** `name` must have passed checkName or come from a listing. */
export function join(path: Path, name: string): Path {
  return (path === root ? `/${name}` : `${path}/${name}`) as Path
}

/** The parent of "/" is "/". */
export function parentOf(path: Path): Path {
  const cut = path.lastIndexOf('/')
  return (cut <= 0 ? '/' : path.slice(0, cut)) as Path
}

/** The last name; "" for "/". */
export function nameOf(path: Path): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The names from the root down; none for "/". */
export function namesOf(path: Path): string[] {
  return path === root ? [] : path.slice(1).split('/')
}

/** Moves a path from one top to another: rebase("/pnfs/x/y", "/pnfs", "/") is "/x/y". `path` must lie within `from`. */
export function rebase(path: Path, from: Path, to: Path): Path {
  const rest = from === root ? path : path.slice(from.length)
  if (rest === '' || rest === '/') return to
  return (to === root ? rest : `${to}${rest}`) as Path
}
