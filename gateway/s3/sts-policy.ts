/**
 * Session policies: a subset of the JSON of AWS IAM ("IAM JSON policy elements reference"), read to the letter. What is
 * not understood is refused as a whole, since a narrowing that was overlooked would open what its writer meant to close.
 *
 * A policy becomes grants over places of the namespace. Of a Deny nothing is lost: where its action cannot be closed
 * alone, the place is closed altogether.
 */

import { parseObject } from '../../acl/json.ts'
import type { Grant, GrantKind } from '../../acl/principal.ts'
import { isWithin, type Path, parsePath, root } from '../core/path.ts'
import { StsError } from './sts-error.ts'

/** Gives the place of a bucket; undefined for one that there is not. */
export type BucketLookup = (name: string) => Promise<Path | undefined>

const maxStatements = 32
const maxWords = 64

interface ActionMeaning {
  readonly on: 'object' | 'bucket' | 'service'
  readonly kinds: readonly GrantKind[]
  /** Everybody who holds any right on the place may do it. */
  readonly looks?: true
}

const looking: ActionMeaning = { on: 'object', kinds: ['look'], looks: true }
const describing: ActionMeaning = { on: 'object', kinds: ['describe'] }
/** Of one's own uploads, or constant: nothing to give and nothing to take. */
const harmless = (on: ActionMeaning['on']): ActionMeaning => ({ on, kinds: [] })

/** Actions on objects and buckets (AWS Service Authorization Reference, "Actions defined by Amazon S3"), as far as they are known here. */
const actions: Readonly<Record<string, ActionMeaning>> = {
  GetObject: { on: 'object', kinds: ['download'] },
  PutObject: { on: 'object', kinds: ['create', 'overwrite'] },
  DeleteObject: { on: 'object', kinds: ['delete'] },
  RestoreObject: { on: 'object', kinds: ['stage', 'poll'] },
  GetObjectAttributes: looking,
  GetObjectTagging: looking,
  GetObjectAcl: looking,
  PutObjectTagging: describing,
  DeleteObjectTagging: describing,
  AbortMultipartUpload: harmless('object'),
  ListMultipartUploadParts: harmless('object'),
  ListBucket: { on: 'bucket', kinds: ['list'] },
  ListBucketMultipartUploads: harmless('bucket'),
  GetBucketLocation: harmless('bucket'),
  ListAllMyBuckets: harmless('service'),
}

const everyKind = [...new Set(Object.values(actions).flatMap(({ kinds }) => kinds))]

/** Where an action is allowed or denied. */
interface Place {
  readonly on: 'object' | 'bucket' | 'both'
  readonly path: Path
  readonly exact: boolean
}

interface Statement {
  readonly allow: boolean
  readonly actions: readonly ActionMeaning[]
  readonly resources: readonly string[]
}

/** What the policy leaves. Throws StsError `MalformedPolicyDocument` for all that is not understood. */
export async function grantsOfPolicy(text: string, bucket: BucketLookup): Promise<readonly Grant[]> {
  const statements = parsePolicy(text)
  let grants: Grant[] = []
  const placed = new Map<Statement, readonly Place[]>()
  for (const statement of statements) {
    const places: Place[] = []
    for (const resource of statement.resources) places.push(await placeOf(resource, bucket))
    placed.set(statement, places)
    if (statement.allow) grants.push(...places.flatMap((place) => allowed(statement.actions, place)))
  }
  for (const [statement, places] of placed) {
    if (statement.allow) continue
    if (!places.some((place) => closedBy(statement.actions, place).size > 0)) {
      throw malformed('a Deny closes nothing: its actions are not those of its resources')
    }
    for (const place of places) grants = without(grants, statement.actions, place)
  }
  return grants
}

function allowed(meanings: readonly ActionMeaning[], { on, path, exact }: Place): readonly Grant[] {
  const kinds = meanings.filter((action) => on === 'both' || action.on === on).flatMap((action) => action.kinds)
  const directoryOnly = on === 'object' && !exact
  return [...new Set(kinds)].map((kind) => ({ kind, path, directoryOnly, ...(exact && { exact }) }))
}

function closedBy(meanings: readonly ActionMeaning[], { on }: Place): ReadonlySet<GrantKind> {
  const concerned = meanings.filter((action) => on === 'both' || action.on === on)
  return new Set(concerned.some(({ looks }) => looks) ? everyKind : concerned.flatMap(({ kinds }) => kinds))
}

function without(grants: readonly Grant[], meanings: readonly ActionMeaning[], place: Place): Grant[] {
  const { path } = place
  const closed = closedBy(meanings, place)
  return grants.flatMap((grant) => {
    if (!closed.has(grant.kind)) return grant
    if (isWithin(grant.path, path)) return []
    if (grant.exact || !isWithin(path, grant.path)) return grant
    return { ...grant, except: [...(grant.except ?? []), path] }
  })
}

function parsePolicy(text: string): readonly Statement[] {
  const { object: policy, problem } = parseObject(Buffer.from(text))
  if (policy === undefined) throw malformed(`it ${problem}`)
  const { Version: version, Id: id, Statement: given } = members(policy, ['Version', 'Id', 'Statement'])
  if (version !== undefined && version !== '2012-10-17' && version !== '2008-10-17') {
    throw malformed('its Version is not 2012-10-17')
  }
  if (id !== undefined && typeof id !== 'string') throw malformed('its Id is not text')
  const statements: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (statements.length === 0 || statements.length > maxStatements) throw malformed('it has no Statement, or too many')
  return statements.map(parseStatement)
}

function parseStatement(value: unknown): Statement {
  const {
    Sid: sid,
    Effect: effect,
    Action: action,
    Resource: resource,
  } = members(value, ['Sid', 'Effect', 'Action', 'Resource'])
  if (sid !== undefined && typeof sid !== 'string') throw malformed('a Sid is not text')
  if (effect !== 'Allow' && effect !== 'Deny') throw malformed('an Effect is neither Allow nor Deny')
  const meanings = words(action, 'Action').flatMap(meaningsOf)
  return { allow: effect === 'Allow', actions: meanings, resources: words(resource, 'Resource') }
}

/** Names of actions, whose case does not matter; `*` and `?` stand for any characters, and for one. */
function meaningsOf(pattern: string): readonly ActionMeaning[] {
  const [, name] = /^(?:s3:)?([A-Za-z*?]{1,64})$/i.exec(pattern) ?? []
  if (name === undefined || (name !== '*' && name === pattern)) throw malformed('an Action is not one of S3')
  // Each of them makes a look-up longer by the length of a name.
  if (name.split('*').length > 4) throw malformed('an Action has too many wildcards')
  const wild = name.replace(/\*+/g, '[A-Za-z]*').replaceAll('?', '[A-Za-z]')
  const expression = new RegExp(`^${wild}$`, 'i')
  const found = Object.entries(actions).filter(([each]) => expression.test(each))
  if (found.length === 0) throw malformed('an Action is not known here')
  return found.map(([, meaning]) => meaning)
}

/** `*`, `arn:aws:s3:::BUCKET`, `arn:aws:s3:::BUCKET/DIRECTORY/*` or `arn:aws:s3:::BUCKET/KEY`. */
async function placeOf(resource: string, bucket: BucketLookup): Promise<Place> {
  if (resource === '*' || resource === 'arn:aws:s3:::*') return { on: 'both', path: root, exact: false }
  const [, name = '', key] = /^arn:aws:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.+))?$/s.exec(resource) ?? []
  if (name === '') throw malformed('a Resource is not an ARN of a bucket, of keys below a directory, or of a key')
  const path = await bucket(name)
  if (path === undefined) throw malformed('a Resource is of a bucket that there is not')
  if (key === undefined) return { on: 'bucket', path, exact: false }
  if (key === '*') return { on: 'object', path, exact: false }
  const exact = !key.endsWith('/*')
  const inner = exact ? key : key.slice(0, -2)
  if (/[*?]|\$\{/.test(inner)) throw malformed('wildcards and variables are understood only as /* at the end')
  if (/^\/|\/$|^$/.test(inner)) throw malformed('the key of a Resource begins or ends in a slash')
  try {
    return { on: 'object', path: parsePath(`${path === root ? '' : path}/${inner}`), exact }
  } catch (cause) {
    throw malformed('the key of a Resource is none', cause)
  }
}

function members<Name extends string>(value: unknown, names: readonly Name[]): Partial<Record<Name, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('a part of it is no object')
  const known: ReadonlySet<string> = new Set(names)
  if (Object.keys(value).some((name) => !known.has(name))) throw malformed('it has an element that is not understood')
  return value
}

function words(value: unknown, name: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (list.length === 0 || list.length > maxWords) throw malformed(`${name} is empty, or too long`)
  return list.map((word) => {
    if (typeof word === 'string') return word
    throw malformed(`${name} is neither text nor a list of texts`)
  })
}

function malformed(why: string, cause?: unknown): StsError {
  return new StsError('MalformedPolicyDocument', `The policy is not understood: ${why}.`, cause)
}
