/** Names in dCache: what does not exist for anybody, and how paths become parts of URLs. */

import { randomBytes } from 'node:crypto'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, join, nameOf, namesOf, type Path, parentOf, rebase, root } from '../../gateway/core/path.ts'

/** Begins the names of uploads that are not committed. */
export const stagingPrefix = '.portolan-upload-'

/** What the WebDAV door and the frontend answer themselves, in the place of anything of that name. */
const masked = ['/.webdav', '/.well-known', '/remote.php/webdav'].map((path) => path as Path)

/** A name for an upload, hidden and met by nobody else. */
export function stagingName(): string {
  return `${stagingPrefix}${randomBytes(12).toString('hex')}`
}

/**
 * Names that act when they are looked up, such as `.(fset)(FILE)(pin)(1)` over NFS (dCache Book, "dCache as NFSv4.1
 * server"), and those of uploads that are under way.
 */
export function isReservedName(name: string): boolean {
  return name.startsWith('.(') || name.startsWith(stagingPrefix)
}

/** `path` in dCache's terms. */
export function isReservedPath(path: Path): boolean {
  return masked.some((top) => isWithin(path, top)) || namesOf(path).some(isReservedName)
}

/** Which names are reserved in a directory, in dCache's terms: as `isReservedPath`, worked out once for all of them. */
export function reservedIn(directory: Path): (name: string) => boolean {
  if (isReservedPath(directory)) return () => true
  const covered = masked.filter((top) => parentOf(top) === directory).map(nameOf)
  return (name) => isReservedName(name) || covered.includes(name)
}

/** Throws `denied` where no name can be made. */
export function requireUnreserved(path: Path, inDcache: Path): void {
  if (!isReservedPath(inDcache)) return
  const reason = { rule: 'reserved-name', text: 'the name is reserved by dCache or the gateway', path }
  throw new StorageError('denied', 'not allowed', { path, reason })
}

/** A path of the back end in dCache's terms. */
export function pathInDcache(path: Path, top: Path): Path {
  return rebase(path, root, top)
}

/** Percent-encodes every byte that is not unreserved (RFC 3986, section 2.3), name by name. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeName).join('/')
}

function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** The names of an encoded path below "/", or undefined where one is no name. A final slash is dropped. */
export function decodePath(encoded: string): Path | undefined {
  const names = encoded.replace(/\/$/, '').split('/').slice(1)
  let path = root
  for (const name of names) {
    if (name === '') return undefined
    try {
      path = join(path, decodeURIComponent(name))
    } catch {
      // Bytes that are no UTF-8: no name of ours.
      return undefined
    }
  }
  return path
}
