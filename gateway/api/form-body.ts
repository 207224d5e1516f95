/** Bodies of plain HTML forms, read strictly. */

import { StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'
import { parseQuery } from '../http/query.ts'

/** Nobody types more. */
const maxForm = 64 * 1024

/**
 * The fields of these names. Throws `invalid` for any other, for one that comes twice, and for what is not UTF-8; 415
 * for another media type.
 */
export function readForm<Name extends string>(
  type: string | undefined,
  body: unknown,
  names: readonly Name[],
): Readonly<Partial<Record<Name, string>>> {
  if (type?.split(';')[0]?.trim().toLowerCase() !== 'application/x-www-form-urlencoded') {
    throw new HttpError(415, 'unsupported', 'the body is sent as a form')
  }
  if (!(body instanceof Uint8Array)) throw new StorageError('invalid', 'the body is missing')
  if (body.length > maxForm) throw new StorageError('too-large', 'the form is too long')
  return parseQuery(Buffer.from(body).toString('latin1'), names)
}
