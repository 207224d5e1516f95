/** Depth, Overwrite and Destination (RFC 4918, section 10). */

import { StorageError } from '../core/errors.ts'
import { isWithin, type Path } from '../core/path.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { parseTarget } from '../http/target.ts'

export type Depth = 0 | 1 | 'infinity'

/** `infinity` where there is none. Throws `invalid`. */
export function depthOf({ request }: Exchange): Depth {
  const { depth } = request.headers
  if (depth === undefined) return 'infinity'
  if (depth === '0') return 0
  if (depth === '1') return 1
  if (typeof depth === 'string' && depth.toLowerCase() === 'infinity') return 'infinity'
  throw new StorageError('invalid', 'Depth is 0, 1 or infinity')
}

/** DELETE and MOVE take a directory as a whole (RFC 4918, sections 9.6.1 and 9.9.2); to a file every depth is the same. */
export async function requireWholeDepth(x: Exchange): Promise<void> {
  const depth = depthOf(x)
  if (depth === 'infinity') return
  const { type } = await x.door.storage.stat(x.call, x.path)
  if (type === 'directory') throw new StorageError('invalid', 'Depth is infinity here')
}

/** True where there is none. Throws `invalid`. */
export function overwriteOf({ request }: Exchange): boolean {
  const { overwrite } = request.headers
  if (overwrite === undefined || overwrite === 'T' || overwrite === 't') return true
  if (overwrite === 'F' || overwrite === 'f') return false
  throw new StorageError('invalid', 'Overwrite is T or F')
}

/**
 * Where COPY and MOVE go; `elsewhere` for what another server answers for. A final slash says nothing: what the source
 * is, that the target becomes. Throws `invalid`.
 */
export function destinationOf(x: Exchange): Path | 'elsewhere' {
  const { destination } = x.request.headers
  if (typeof destination !== 'string') throw new StorageError('invalid', 'there is no Destination, or there are two')
  return locate(x, destination)
}

/** Where an absolute URL or path of a header leads. Throws `invalid`. */
export function locate(x: Exchange, text: string): Path | 'elsewhere' {
  if (/^[a-z][a-z0-9+.-]*:/i.test(text) && !isOurs(x, text)) return 'elsewhere'
  const target = parseTarget(text)
  if (target === '*') throw new StorageError('invalid', 'a header does not name a path')
  return target.path
}

/** RFC 4918, section 9.8.5. */
export function elsewhere(): HttpError {
  return new HttpError(502, 'unsupported', 'the Destination lies on another server')
}

/** Throws 403 for a destination that is the source or lies in it, or the other way round. */
export function requireApart({ path }: Exchange, to: Path): void {
  if (!isWithin(to, path) && !isWithin(path, to)) return
  throw new HttpError(403, 'invalid', 'source and destination are the same, or one lies in the other')
}

/**
 * Whether an absolute URL leads back here: by our public name, by the name that the caller has just used, or by
 * another of our names. A proxy that ends TLS changes scheme and default port, so a port that is the scheme's own
 * counts as none; any other one belongs to a server that may not be us.
 */
function isOurs(x: Exchange, destination: string): boolean {
  const url = URL.parse(destination)
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) return false
  if (url.username !== '' || url.password !== '')
    throw new StorageError('invalid', 'the Destination holds a credential')
  const { publicUrl, names } = x.door
  const ours = [URL.parse(publicUrl), URL.parse(`${url.protocol}//${x.request.headers.host ?? ''}`)]
  const isNamed = ours.some((own) => own?.hostname === url.hostname) || names.has(url.hostname)
  return isNamed && ours.some((own) => own?.port === url.port)
}
