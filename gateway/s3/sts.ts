/**
 * The token service beside S3 (AWS Security Token Service API Reference, version 2011-06-15): a token of an issuer in,
 * temporary access keys out, and who somebody is that signs.
 */

import { hash } from 'node:crypto'
import type { Identity, S3Keys } from '../../acl/identity/identity.ts'
import type { Grant, Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { root } from '../core/path.ts'
import { shownWith } from '../http/client-certificate.ts'
import { audited } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Entrance } from '../http/options.ts'
import { receiveWhole } from '../http/receive.ts'
import { type Authenticated, authenticate } from './authentication.ts'
import { keyDesk } from './key-lookup.ts'
import { account } from './owner.ts'
import type { S3Settings } from './s3-request.ts'
import { callerOf } from './sts-caller.ts'
import { StsError, sendSts, sendStsError, tokenErrorOf } from './sts-error.ts'
import { grantsOfPolicy } from './sts-policy.ts'
import { leaf, tag } from './xml.ts'

export interface StsOptions {
  readonly identity: Pick<Identity, 'authenticate' | 'kerberos'>
  readonly keys: Pick<S3Keys, 'key' | 'noteUse' | 'assume'>
}

/** Answers the whole request, also with what is wrong with it; gives that, for the log. */
export type Sts = (x: Exchange, settings: S3Settings, entrance: Entrance) => Promise<StorageError | undefined>

/** Bytes of a form: a token and a policy of full length, percent-encoded. */
const maxForm = 96 * 1024
const version = '2011-06-15'

export function createSts(options: StsOptions): Sts {
  return async (x, settings, entrance) => {
    try {
      await answer({ ...options, x, settings, entrance })
      return undefined
    } catch (error) {
      return await sendStsError(x, error)
    }
  }
}

interface Request extends StsOptions {
  readonly x: Exchange
  readonly settings: S3Settings
  readonly entrance: Entrance
}

async function answer(request: Request): Promise<void> {
  const { x } = request
  const isForm = x.request.method === 'POST'
  const body = isForm ? await receiveWhole(x, maxForm) : Buffer.alloc(0)
  const [, query = ''] = /\?([^#]*)/.exec(x.request.url ?? '') ?? []
  const fields = fieldsOf(isForm ? body : Buffer.from(query, 'latin1'))
  if ((fields.get('Version') ?? version) !== version) throw bad('Version')
  switch (fields.get('Action')) {
    case 'AssumeRoleWithWebIdentity':
      return assumeByToken(request, fields)
    case 'AssumeRole':
      return assumeHimself(request, fields)
    case 'GetCallerIdentity':
      return tell(request, body)
    case undefined:
      throw new StsError('MissingParameter', 'The request must contain the parameter Action.')
    default:
      throw new StsError('InvalidAction', 'The action is not one that is known here.')
  }
}

async function assumeByToken(request: Request, fields: Fields): Promise<void> {
  const role = parametersOf(fields, withToken)
  // A file with a token ends with a newline as a rule, and SDKs send it as it is.
  const token = new Secret(required(fields, 'WebIdentityToken', 4, 20_000).trim())
  const principal = await holderOf(request, token)
  const { credentials, user, packed } = await assume(request, role, principal)
  const { credential, id } = principal
  const issuer = credential?.issuer ?? ''
  const content = [
    leaf('SubjectFromWebIdentityToken', id.startsWith(`${issuer}|`) ? id.slice(issuer.length + 1) : id),
    leaf('Audience', credential?.audiences?.[0]),
    ...[user, credentials],
    leaf('Provider', issuer),
    packed,
  ]
  await sendSts(request.x, 'AssumeRoleWithWebIdentity', content.join(''))
}

async function assumeHimself(request: Request, fields: Fields): Promise<void> {
  const { x, identity, entrance } = request
  const role = parametersOf(fields, withoutToken)
  const principal = await callerOf(x, identity).catch((error: unknown) => {
    entrance.refused(x, x.failureOf(error))
    throw error
  })
  const { credentials, user, packed } = await assume(request, role, principal)
  await sendSts(x, 'AssumeRole', credentials + user + packed)
}

/** The keys that were made and what is said of them, as XML. */
async function assume(request: Request, { role, name, duration, policy }: Parameters, principal: Principal) {
  const { x, entrance, keys } = request
  entrance.admit(x, principal)
  const work = async () => {
    const grants = policy === undefined ? undefined : await grantsFor(request, policy)
    return keys.assume(principal, { duration, ...(grants && { grants }) }).catch((error: unknown) => {
      throw assumeErrorOf(error)
    })
  }
  const made = await audited(x, 'issue', root, work, ({ accessKeyId, expires }) => {
    return `session ${accessKeyId} (${JSON.stringify(name)}) until ${new Date(expires).toISOString()}`
  })
  const user =
    leaf('Arn', roleArn(role, name)) + leaf('AssumedRoleId', `${made.accessKeyId.replace(/^ASIA/, 'AROA')}:${name}`)
  const credentials = [
    leaf('AccessKeyId', made.accessKeyId),
    leaf('SecretAccessKey', made.secret.reveal()),
    leaf('SessionToken', made.sessionToken.reveal()),
    leaf('Expiration', `${new Date(made.expires).toISOString().slice(0, 19)}Z`),
  ]
  return {
    credentials: tag('Credentials', credentials.join('')),
    user: tag('AssumedRoleUser', user),
    packed: leaf('PackedPolicySize', made.packed),
  }
}

/** A token is good for nothing else than to be taken by whoever listens: it is looked at only if nobody could. */
async function holderOf({ x, identity, entrance }: Request, token: Secret): Promise<Principal> {
  try {
    if (!x.isPrivate) {
      const reason = { rule: 'plain-http', text: 'credentials are accepted over TLS only' }
      throw new StsError(
        'AccessDenied',
        'Tokens are accepted over TLS only.',
        new StorageError('denied', '', { reason }),
      )
    }
    return await identity.authenticate({ kind: 'bearer', token, ...shownWith(x) }).catch((error: unknown) => {
      throw tokenErrorOf(error)
    })
  } catch (error) {
    entrance.refused(x, x.failureOf(error))
    throw error
  }
}

async function grantsFor({ x, settings }: Request, policy: string): Promise<readonly Grant[]> {
  return grantsOfPolicy(policy, async (name) => {
    try {
      return (await settings.bucket(x.call, name))?.path
    } catch (error) {
      // A bucket that the caller may not see is none.
      if (StorageError.from(error).code === 'denied') return undefined
      throw error
    }
  })
}

function assumeErrorOf(thrown: unknown): StsError | StorageError {
  const error = StorageError.from(thrown)
  if (error.code === 'too-large') {
    return new StsError('PackedPolicyTooLarge', 'The token and the policy are too long for a session token.', error)
  }
  if (error.code === 'invalid')
    return new StsError('ExpiredTokenException', 'The web identity token has expired.', error)
  if (error.code !== 'denied') return error
  return new StsError('InvalidIdentityToken', 'Sessions are begun with the token of an identity provider.', error)
}

async function tell(request: Request, body: Buffer): Promise<void> {
  const { x, entrance } = request
  const { principal, accessKeyId = '' } = await signerOf(request, body)
  entrance.admit(x, principal)
  const name = principal.user ?? principal.id
  const arn = accessKeyId.startsWith('ASIA') ? roleArn('portolan', name) : `arn:aws:iam::${account}:user/${name}`
  const content = leaf('Arn', arn) + leaf('UserId', accessKeyId) + leaf('Account', account)
  await sendSts(x, 'GetCallerIdentity', content)
}

async function signerOf({ x, settings, entrance, keys }: Request, body: Buffer): Promise<Authenticated> {
  const { region } = settings
  const { key, noteUse } = keyDesk(keys)
  try {
    const bodyHash = hash('sha256', body, 'hex')
    const known = await authenticate(x.request, { region, key, isPrivate: x.isPrivate, service: 'sts', bodyHash })
    if (!known.signed) throw new StsError('MissingAuthenticationToken', 'The request must be signed.')
    await noteUse()
    return known
  } catch (error) {
    entrance.refused(x, x.failureOf(error))
    throw error
  }
}

interface Parameters {
  /** Its name alone: every role is one's own. */
  readonly role: string
  readonly name: string
  /** Seconds. */
  readonly duration: number
  readonly policy: string | undefined
}

const withoutToken: ReadonlySet<string> = new Set([
  ...['Action', 'Version', 'RoleArn', 'RoleSessionName', 'DurationSeconds', 'Policy'],
])
const withToken: ReadonlySet<string> = new Set([...withoutToken, 'WebIdentityToken'])

/** Bounds of the lengths are those of the API reference. What is not known could be meant to narrow, so it is refused. */
function parametersOf(fields: Fields, known: ReadonlySet<string>): Parameters {
  for (const name of fields.keys()) {
    if (/^PolicyArns(?:\.|$)/.test(name)) {
      throw new StsError('MalformedPolicyDocument', 'Managed policies are not known here.')
    }
    if (!known.has(name)) throw new StsError('InvalidParameterValue', 'There is a parameter that is not known here.')
  }
  const arn = required(fields, 'RoleArn', 20, 2048)
  const [, role] = /^arn:aws[a-z-]{0,10}:iam::[0-9]{0,12}:role\/(?:[\x21-\x7e]*\/)?([\w+=,.@-]{1,64})$/.exec(arn) ?? []
  if (role === undefined) throw bad('RoleArn')
  const name = required(fields, 'RoleSessionName', 2, 64)
  if (!/^[\w+=,.@-]+$/.test(name)) throw bad('RoleSessionName')
  const seconds = fields.get('DurationSeconds') ?? '3600'
  const duration = /^\d{1,6}$/.test(seconds) ? Number(seconds) : Number.NaN
  if (!(duration >= 900 && duration <= 43_200)) throw bad('DurationSeconds')
  const policy = fields.has('Policy') ? required(fields, 'Policy', 1, 2048) : undefined
  return { role, name, duration, policy }
}

function required(fields: Fields, name: string, least: number, most: number): string {
  const value = fields.get(name)
  if (value === undefined) throw new StsError('MissingParameter', `The request must contain the parameter ${name}.`)
  if (value.length < least || value.length > most) throw bad(name)
  return value
}

type Fields = ReadonlyMap<string, string>

/** Of a form (WHATWG URL, "application/x-www-form-urlencoded"): none comes twice, all are UTF-8. */
function fieldsOf(bytes: Uint8Array): Fields {
  const fields = new Map<string, string>()
  for (const part of textOf(bytes).split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decoded(equals < 0 ? part : part.slice(0, equals))
    if (fields.has(name)) throw new StsError('InvalidParameterValue', 'A parameter comes twice.')
    fields.set(name, equals < 0 ? '' : decoded(part.slice(equals + 1)))
  }
  return fields
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw notText(cause)
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw notText(cause)
  }
}

function notText(cause: unknown): StsError {
  return new StsError('InvalidParameterValue', 'The parameters are not percent-encoded UTF-8.', cause)
}

function bad(name: string): StsError {
  return new StsError('InvalidParameterValue', `The value of the parameter ${name} is not valid.`)
}

function roleArn(role: string, name: string): string {
  return `arn:aws:sts::${account}:assumed-role/${role}/${name}`
}
