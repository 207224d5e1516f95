/** Who signed a request (AWS Signature Version 4), and what the signature says of its body. */

import type { IncomingMessage } from 'node:http'
import { anonymous, type Principal } from '../../acl/principal.ts'
import { StorageError } from '../core/errors.ts'
import { type Claim, malformed, parseAuthorizationHeader } from './authorization.ts'
import {
  canonicalHeaders,
  canonicalQuery,
  canonicalRequest,
  canonicalUri,
  HeadFields,
  type Plus,
  parseS3Query,
  splitTarget,
} from './canonical.ts'
import { S3Error } from './error.ts'
import { findKey, type KeyLookup, readableToken } from './key-lookup.ts'
import { type Payload, parsePayload, unsignedPayload } from './payload-mode.ts'
import {
  type AmzParameters,
  amzParameters,
  headersInQuery,
  isPresigned,
  parsePresigned,
  requireInTime,
  signatureParameter,
  wrong,
} from './presigned.ts'
import { refusedSignature, requireAllSigned } from './refusal.ts'
import {
  defaultRegion,
  isSameSignature,
  type SignedService,
  SigningKeys,
  scopeText,
  signatureOf,
  stringToSign,
} from './sigv4.ts'

export type { KeyLookup } from './key-lookup.ts'

export interface AuthenticationOptions {
  readonly key: KeyLookup
  /** Signatures for it are accepted, and for `us-east-1`, which clients take who were told nothing. */
  readonly region: string
  readonly service?: SignedService
  /** Nobody on the way can read what is sent: session tokens are only accepted then. */
  readonly isPrivate: boolean
  /** SHA-256 of the body in hexadecimal digits, for services that sign it without saying so in a header. */
  readonly bodyHash?: string
  /** Milliseconds since 1970. */
  readonly now?: number
}

export interface Authenticated {
  /** `anonymous` where nothing is signed. */
  readonly principal: Principal
  readonly signed: boolean
  readonly accessKeyId: string | undefined
  /** As the signature understands it. */
  readonly query: ReadonlyMap<string, string>
  /** Names in lower case; several of one name are joined by a comma. What a presigned URL brings along counts as a header. */
  header(name: string): string | undefined
  headerNames(): Iterable<string>
  readonly payload: Payload
}

/** ms that the sender's clock may be wrong. */
export const maxSkew = 900_000

const keys = new SigningKeys()

/**
 * Throws S3Error for a signature that is malformed, outdated, wrong, of an unknown key, or that leaves an `x-amz-`
 * header unsigned. Reads nothing of the body.
 */
export async function authenticate(
  request: Pick<IncomingMessage, 'method' | 'url' | 'rawHeaders'>,
  options: AuthenticationOptions,
): Promise<Authenticated> {
  const fields = new HeadFields(request.rawHeaders)
  const target = splitTarget(request.url ?? '')
  const query = parseS3Query(target.query, 'literal')
  if (!query) throw new S3Error('InvalidURI', "Couldn't parse the specified URI.")
  const amz = amzParameters(query)
  const claim = claimOf(fields, amz, query)
  const parts = { request, fields, target, amz }
  if (!claim) return unsigned(parts)
  const signer = await verify(parts, claim, options)
  const brought = claim.presigned ? headersInQuery(amzParameters(signer.query)) : undefined
  return { ...signer, ...headersOf(fields, brought) }
}

interface Parts {
  readonly request: Pick<IncomingMessage, 'method'>
  readonly fields: HeadFields
  readonly target: { readonly path: string; readonly query: string }
  readonly amz: AmzParameters
}

function claimOf(fields: HeadFields, amz: AmzParameters, query: ReadonlyMap<string, string>): Claim | undefined {
  const header = fields.get('authorization')
  const presigned = isPresigned(amz, query)
  if (header !== undefined && presigned) {
    const elements = { ArgumentName: 'Authorization' }
    const message =
      'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header should be specified'
    throw new S3Error('InvalidArgument', message, { elements })
  }
  if (presigned) return parsePresigned(amz)
  return header === undefined ? undefined : parseAuthorizationHeader(header, fields)
}

function unsigned({ fields, target }: Parts): Authenticated {
  // As in forms, where nothing says otherwise.
  const query = parseS3Query(target.query, 'space') ?? new Map()
  const value = fields.get('x-amz-content-sha256') ?? unsignedPayload
  const payload = parsePayload(value, undefined)
  return {
    principal: anonymous,
    signed: false,
    accessKeyId: undefined,
    query,
    payload,
    ...headersOf(fields, undefined),
  }
}

function headersOf(
  fields: HeadFields,
  brought: AmzParameters | undefined,
): Pick<Authenticated, 'header' | 'headerNames'> {
  return {
    header: (name) => fields.get(name) ?? brought?.get(name),
    headerNames: () => (brought ? new Set([...fields.names(), ...brought.keys()]) : fields.names()),
  }
}

async function verify(
  parts: Parts,
  claim: Claim,
  options: AuthenticationOptions,
): Promise<Pick<Authenticated, 'principal' | 'signed' | 'accessKeyId' | 'query' | 'payload'>> {
  const { now = Date.now(), service = 's3' } = options
  requireScope(claim, service, options.region)
  requireTime(claim, now)
  requireAllSigned(parts.fields, claim.signedNames)
  if (claim.sessionToken && !options.isPrivate) throw readableToken()
  const hash = payloadHashOf(parts.fields, claim, options)
  const { accessKeyId } = claim.scope
  const found = await findKey(options.key, accessKeyId, claim.sessionToken)
  const key = keys.get(found.secret, claim.scope)
  const query = verifiedQuery(parts, claim, hash, key)
  const signing = { key, date: claim.date, scope: scopeText(claim.scope), seed: claim.signature }
  const payload = parsePayload(service === 's3' ? hash : unsignedPayload, signing)
  return { principal: found.principal, signed: true, accessKeyId, query, payload }
}

function requireScope({ scope, presigned }: Claim, service: SignedService, region: string): void {
  const error = presigned ? wrong : malformed
  if (scope.service !== service) throw error(`This endpoint belongs to "${service}".`)
  if (scope.region === region || scope.region === defaultRegion) return
  const message = `The region '${scope.region}' is wrong; expecting '${region}'`
  const elements = { Region: region }
  throw presigned ? wrong(message, elements) : malformed(message, elements)
}

function requireTime({ time, date, presigned }: Claim, now: number): void {
  if (presigned) {
    requireInTime(time, presigned.expires, now, maxSkew)
    return
  }
  if (Math.abs(now - time) <= maxSkew) return
  const elements = {
    RequestTime: date,
    ServerTime: new Date(now).toISOString(),
    MaxAllowedSkewMilliseconds: String(maxSkew),
  }
  const message = "The difference between the request time and the server's time is too large."
  throw new S3Error('RequestTimeTooSkewed', message, { elements })
}

/** The last line of the canonical request. */
function payloadHashOf(fields: HeadFields, claim: Claim, { service = 's3', bodyHash }: AuthenticationOptions): string {
  const name = 'x-amz-content-sha256'
  const header = fields.get(name)
  if (service !== 's3') {
    if (bodyHash === undefined) throw new StorageError('internal', 'a body was not hashed before it was verified')
    return bodyHash
  }
  if (claim.presigned) return header ?? claim.presigned.payloadHash ?? unsignedPayload
  if (header === undefined) throw new S3Error('InvalidRequest', `Missing required header for this request: ${name}`)
  return header
}

/** A bare plus in a query is tried in both senses: what it stands for is what the sender has signed. */
function verifiedQuery(parts: Parts, claim: Claim, hash: string, key: Buffer): ReadonlyMap<string, string> {
  const { query } = parts.target
  const senses: readonly Plus[] = query.includes('+') ? ['literal', 'space'] : ['literal']
  let attempt: { readonly request: string; readonly text: string } | undefined
  for (const plus of senses) {
    const request = requestText(parts, claim, hash, plus)
    const text = stringToSign(request, claim.date, scopeText(claim.scope))
    attempt ??= { request, text }
    const parsed = isSameSignature(signatureOf(key, text), claim.signature) ? parseS3Query(query, plus) : undefined
    if (parsed) return parsed
  }
  throw refusedSignature(claim, attempt?.request ?? '', attempt?.text ?? '')
}

function requestText({ request, fields, target }: Parts, claim: Claim, payloadHash: string, plus: Plus): string {
  const uri = canonicalUri(target.path)
  const query = canonicalQuery(target.query, plus, claim.presigned ? signatureParameter : undefined)
  if (uri === undefined || query === undefined) throw new S3Error('InvalidURI', "Couldn't parse the specified URI.")
  const { signedHeaders, signedNames } = claim
  const headers = canonicalHeaders(fields, signedNames)
  return canonicalRequest({ method: request.method ?? '', uri, query, headers, signedHeaders, payloadHash })
}
