/** Members of the gateway's answers, read with suspicion: what is missing or strange is `unavailable`. */

import { StorageError } from '../../gateway/core/errors.ts'

/** The members of a JSON object. */
export function members(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw strange('object')
  return value as Readonly<Record<string, unknown>>
}

/** `name`: of the member, for the message. */
export function list(value: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(value)) throw strange(name)
  return value
}

/** As `text`, of each in a list. */
export function texts(value: unknown, name: string): readonly string[] {
  return list(value, name).map((item) => text(item, name))
}

/** `name`: of the member, for the message. */
export function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw strange(name)
  return value
}

/** A text, or nothing for whatever else is there. */
export function optional(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** What is thrown for an answer that cannot be read. */
export function strange(name: string, cause?: unknown): StorageError {
  return new StorageError('unavailable', `the answer is not that of a Portolan gateway (${name})`, { cause })
}
