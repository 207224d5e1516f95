/** Policies of forms (Amazon S3 API Reference, "Creating a POST policy"): what whoever signed one lets others upload. */

import { isObject, type JsonObject, parseObject } from '../../acl/json.ts'
import { S3Error } from './error.ts'

/** The fields of a form by names in lower case. */
export type FormFields = ReadonlyMap<string, string>

/** Bytes of the file that the policy allows. */
export interface PolicyBounds {
  readonly least?: number
  readonly most?: number
}

interface Condition {
  readonly kind: 'eq' | 'starts-with'
  /** In lower case. */
  readonly field: string
  readonly value: string
}

interface Policy {
  /** Milliseconds since 1970. */
  readonly expiration: number
  readonly conditions: readonly Condition[]
  readonly bounds: PolicyBounds
}

/** Fields that need no condition: the policy, what signs it, and the file. The bucket, which is always among the fields, does. */
const exempt: ReadonlySet<string> = new Set(['policy', 'x-amz-signature', 'file'])
/** Fields of which the beginning says nothing. */
const exact: ReadonlySet<string> = new Set(['bucket', 'x-amz-algorithm', 'x-amz-credential', 'x-amz-date'])

/**
 * `policy`: as in the form. `now`: milliseconds since 1970. Throws `InvalidPolicyDocument` for what is no policy, `AccessDenied`
 * for one that has expired, that the fields do not meet, or that says nothing of one of them.
 */
export function checkPolicy(policy: string, fields: FormFields, now: number): PolicyBounds {
  const { expiration, conditions, bounds } = parsePolicy(policy)
  if (now > expiration) throw refused('Policy expired.')
  const failed = conditions.find((condition) => !isMet(condition, fields))
  if (failed) {
    const { kind, field, value } = failed
    throw refused(`Policy Condition failed: ["${kind}", "$${field}", ${JSON.stringify(value)}]`)
  }
  const covered = new Set(conditions.map(({ field }) => field))
  const extra = [...fields.keys()].filter(
    (field) => !exempt.has(field) && !covered.has(field) && !field.startsWith('x-ignore-'),
  )
  if (extra.length > 0) throw refused(`Extra input fields: ${extra.join(', ')}`)
  return bounds
}

function isMet({ kind, field, value }: Condition, fields: FormFields): boolean {
  const shown = fields.get(field)
  if (kind === 'eq') return (shown ?? '') === value
  if (shown === undefined) return value === ''
  // Several types may be listed; each of them is to begin so.
  if (field === 'content-type') return shown.split(',').every((each) => each.trim().startsWith(value))
  return shown.startsWith(value)
}

function parsePolicy(text: string): Policy {
  const { expiration, conditions, ...others } = decoded(text)
  const [stranger] = Object.keys(others)
  if (stranger !== undefined) throw invalid('it has an unexpected field')
  if (!Array.isArray(conditions)) throw invalid('it has no list of conditions')
  const found: Condition[] = []
  let bounds: PolicyBounds = {}
  for (const each of conditions) {
    if (isRange(each)) bounds = narrowed(bounds, rangeOf(each))
    else found.push(...conditionsIn(each))
  }
  return { expiration: timeOf(expiration), conditions: found, bounds }
}

function decoded(text: string): JsonObject {
  const encoded = text.replace(/\s+/g, '')
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) throw invalid('it is not base64')
  const { object, problem } = parseObject(Buffer.from(encoded, 'base64'))
  if (object === undefined) throw invalid(`it ${problem}`)
  return object
}

function timeOf(expiration: unknown): number {
  const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/
  const time = typeof expiration === 'string' && iso.test(expiration) ? Date.parse(expiration) : Number.NaN
  if (Number.isNaN(time)) throw invalid('it has no expiration that can be read')
  return time
}

/** An object stands for as many conditions as it has members, an array for one. */
function conditionsIn(each: unknown): readonly Condition[] {
  if (isObject(each)) return Object.entries(each).map(([field, value]) => condition('eq', field, value))
  if (!Array.isArray(each) || each.length !== 3)
    throw invalid('a condition has neither the form of an object nor of a list of three')
  const [kind, field, value] = each
  if (typeof kind !== 'string' || typeof field !== 'string' || !field.startsWith('$')) {
    throw invalid('a condition names no field')
  }
  const lower = kind.toLowerCase()
  if (lower !== 'eq' && lower !== 'starts-with') throw invalid('a condition is of an unknown kind')
  return [condition(lower, field.slice(1), value)]
}

function condition(kind: Condition['kind'], name: string, value: unknown): Condition {
  const field = name.toLowerCase()
  if (typeof value !== 'string') throw invalid('a condition has no text to compare with')
  if (kind === 'starts-with' && exact.has(field)) throw invalid(`the field ${field} can only be compared as a whole`)
  return { kind, field, value }
}

function isRange(each: unknown): each is readonly unknown[] {
  return Array.isArray(each) && typeof each[0] === 'string' && each[0].toLowerCase() === 'content-length-range'
}

function rangeOf([, ...ends]: readonly unknown[]): Required<PolicyBounds> {
  const [least, most, ...others] = ends.map((end) => (/^\d{1,15}$/.test(String(end)) ? Number(end) : undefined))
  if (least === undefined || most === undefined || others.length > 0 || least > most) {
    throw invalid('content-length-range takes two numbers')
  }
  return { least, most }
}

function narrowed(bounds: PolicyBounds, { least, most }: Required<PolicyBounds>): PolicyBounds {
  return {
    least: Math.max(bounds.least ?? 0, least),
    most: Math.min(bounds.most ?? Number.POSITIVE_INFINITY, most),
  }
}

function refused(why: string): S3Error {
  return new S3Error('AccessDenied', `Invalid according to Policy: ${why}`)
}

function invalid(why: string): S3Error {
  return new S3Error(
    'InvalidPolicyDocument',
    `The content of the form does not meet the conditions of a policy: ${why}.`,
  )
}
