/** Bodies of routes that take a JSON object: read strictly, since a member that was passed over might have been a bound. */

import { StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'

/**
 * The members of the object, of these names alone. Throws `invalid`; 415 for another media type, so that no form of
 * somebody else's page can send it.
 */
export function readMembers<Name extends string>(
  type: string | undefined,
  body: unknown,
  names: readonly Name[],
): Readonly<Partial<Record<Name, unknown>>> {
  if (type?.split(';')[0]?.trim().toLowerCase() !== 'application/json') {
    throw new HttpError(415, 'unsupported', 'the body is sent as application/json')
  }
  const value = parse(body)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new StorageError('invalid', 'the body is not a JSON object')
  }
  const unknown = Object.keys(value).some((key) => !names.some((name) => name === key))
  if (unknown) throw new StorageError('invalid', `the body may have these members only: ${names.join(', ')}`)
  return value as Readonly<Partial<Record<Name, unknown>>>
}

function parse(body: unknown): unknown {
  if (!(body instanceof Uint8Array)) throw new StorageError('invalid', 'the body is missing')
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (cause) {
    throw new StorageError('invalid', 'the body is not JSON', { cause })
  }
}

/** A member that is a text, or absent. Throws `invalid`. */
export function textIn(value: unknown, name: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw new StorageError('invalid', `${name} is not a text`)
}

/** A member that is a list of texts; empty if absent. Throws `invalid`. */
export function textsIn(value: unknown, name: string): readonly string[] {
  if (value === undefined) return []
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value
  throw new StorageError('invalid', `${name} is not a list of texts`)
}
