/**
 * Temporary credentials for S3: whom they stand for is sealed into the session token, so that nothing is kept for them,
 * any number of machines may have some, and whoever holds one reads neither the token it came from nor its secret.
 *
 * As with macaroons, the account is looked up at every use; bans of it, and of the token it came from, hold.
 */

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import type { Grant, GrantKind, Principal } from '../principal.ts'
import { Secret } from '../secret.ts'
import { addressesOf, readCaveats } from './caveats.ts'
import type { Source } from './derived.ts'
import type { Epoch, Epochs } from './epochs.ts'
import { lastingMarks } from './holder.ts'
import type { S3Session, S3SessionOrder } from './identity.ts'
import { requireLink } from './links/linked.ts'
import { localOf } from './macaroons.ts'
import type { Holder } from './options.ts'
import { refuse } from './refusal.ts'
import type { SessionState } from './sessions.ts'

/** What was known of whoever came with a token; the rest is looked up anew whenever the session is used. */
interface Sealed {
  readonly id: string
  /** `Principal.id` and `Principal.user`. */
  readonly principal: string
  readonly user: string
  /** Groups that the account has not by itself. */
  readonly groups: readonly string[]
  /** What the token allows, and what the session policy does; absent where there is no bound. */
  readonly token?: readonly WrittenGrant[]
  readonly policy?: readonly WrittenGrant[]
  readonly networks: ReadonlyArray<readonly string[]>
  readonly maxUpload?: number
  /** Milliseconds since 1970. */
  readonly expires: number
  readonly tokenId?: string
  /** Of the token; absent for who has signed in here. */
  readonly issuer?: string
  /** `Principal.link`. */
  readonly link?: string
  /** `lastingMarks` of whoever began it. */
  readonly marks?: readonly string[]
  readonly audiences: readonly string[]
  /** The token itself, for storage that decides by it; absent where it is too long to carry. */
  readonly bearer?: string
}

type WrittenGrant = readonly [kind: GrantKind, path: Path, only: 0 | 1 | 2, except?: readonly Path[]]

const cipher = 'aes-256-gcm'
const ivBytes = 12
const tagBytes = 16
const grammar = /^ps1\.([0-9a-z]{8,9}-[0-9a-f]{16})\.([A-Za-z0-9_-]{40,16384})$/
/** Longest session token in characters: it goes with every request, in a header or an address. */
const mostPacked = 8192
/** Bytes of what is sealed, before it is made shorter. */
const mostPlain = 1024 * 1024
const maxGroups = 1000

/** Seconds that a session lasts at most (AWS Security Token Service, AssumeRoleWithWebIdentity). */
export const maxSessionDuration = 43_200

/** 80 bits of chance behind four letters, as in all access key ids of AWS. */
export function newKeyId(prefix: 'AKIA' | 'ASIA'): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  return prefix + Array.from(randomBytes(16), (byte) => alphabet[byte & 31]).join('')
}

/** By its id alone. */
export function isTemporary(accessKeyId: string): boolean {
  return accessKeyId.startsWith('ASIA')
}

/** Came by a certificate; see certificates.ts. */
function isCertified({ id }: Principal): boolean {
  return id.startsWith('dn:')
}

/** See `S3Keys.assume`. */
export async function beginSession(
  principal: Principal,
  { duration, grants }: S3SessionOrder,
  {
    epochs,
    state,
    source: { holder, signedIn },
    now,
  }: {
    readonly epochs: Epochs
    readonly state: SessionState
    readonly source: Source
    readonly now: number
  },
): Promise<S3Session> {
  const { user, credential, counted, macaroon } = principal
  const issuer = credential?.kind === 'bearer' ? credential.issuer : undefined
  const isKnown = issuer !== undefined || signedIn !== undefined || isCertified(principal)
  const isHimself = isKnown && counted === undefined && !macaroon
  if (user === undefined || !isHimself || !holder) {
    const text = 'sessions are begun by who signs in himself or with the token of an issuer, and with nothing derived'
    throw new StorageError('denied', 'not allowed', { reason: { rule: 's3-key', text } })
  }
  const expires = Math.floor(Math.min(now + duration * 1000, (principal.expires ?? Number.POSITIVE_INFINITY) * 1000))
  if (expires <= now) throw new StorageError('invalid', 'the session would have ended before it began')
  const { accounts, options } = state
  const own = (await localOf({ user, groups: [] }, accounts, options.domain)).groups
  const groups = [...principal.groups].filter((group) => !own.has(group))
  if (groups.length > maxGroups) throw new StorageError('too-large', 'the token has too many groups')
  const id = newKeyId('ASIA')
  const { tokenId } = holder
  const marks = lastingMarks(holder)
  const sealed: Sealed = {
    ...{ id, principal: principal.id, user, groups, expires },
    ...(issuer !== undefined && { issuer }),
    audiences: credential?.audiences ?? [],
    networks: principal.addresses?.networks ?? [],
    ...(principal.grants !== 'unbounded' && { token: principal.grants.map(written) }),
    ...(grants && { policy: grants.map(written) }),
    ...(principal.maxUpload !== undefined && { maxUpload: principal.maxUpload }),
    ...(tokenId !== undefined && { tokenId }),
    ...(principal.link !== undefined && { link: principal.link }),
    ...(marks.length > 0 && { marks }),
  }
  const epoch = await epochs.current()
  const isCarried = credential !== undefined && issuer !== undefined && !credential.bound
  const whole = isCarried ? seal({ ...sealed, bearer: credential.secret.reveal() }, epoch) : undefined
  const text = whole !== undefined && whole.length <= mostPacked ? whole : seal(sealed, epoch)
  if (text.length > mostPacked)
    throw new StorageError('too-large', 'the token and the policy are too much for a session')
  const packed = Math.ceil((text.length * 100) / mostPacked)
  return { accessKeyId: id, secret: secretOf(id, epoch), sessionToken: new Secret(text), expires, packed }
}

/** A session as its token tells, if the token is genuine; when it ends is for the caller to look at. */
export interface OpenedSession {
  readonly accessKeyId: string
  readonly secret: Secret
  readonly expires: number
  /** Throws `unauthenticated` when the issuer is not trusted any more, `denied` when the account is gone. */
  readonly standFor: (state: SessionState) => Promise<{ readonly principal: Principal; readonly holder: Holder }>
  /** The name under which it can be revoked. */
  readonly mark: string
}

/** Undefined for what was not made here, or was changed, or whose key has gone. */
export async function openSession(token: string, epochs: Epochs): Promise<OpenedSession | undefined> {
  const [, name, body] = grammar.exec(token) ?? []
  const epoch = name === undefined ? undefined : await epochs.find(name)
  const sealed = epoch && unseal(body ?? '', epoch)
  if (!epoch || !sealed) return undefined
  return {
    accessKeyId: sealed.id,
    secret: secretOf(sealed.id, epoch),
    expires: sealed.expires,
    mark: markOf(sealed.id),
    standFor: (state) => standFor(sealed, epoch, state),
  }
}

/** Under which the owner's own word ends a key; bans name it `s3-key:ID`. */
export function markOf(id: string): string {
  return `s3-key-off:${id}`
}

async function standFor(sealed: Sealed, epoch: Epoch, { options, accounts, issuers, linked }: SessionState) {
  const { id, user, issuer, token, policy, networks, maxUpload, tokenId, bearer, link } = sealed
  if (issuer !== undefined && !issuers.has(issuer)) {
    throw refuse('key-disabled', 'it was made with a token of an issuer that is trusted no more')
  }
  const standing = await requireLink(link, user, linked)
  const local = await localOf(sealed, accounts, options.domain)
  const addresses = addressesOf(readCaveats(networks.map((each) => `ip:${each.join()}`)))
  const principal: Principal = {
    id: `${sealed.principal}#s3-key:${id}`,
    ...local,
    ...standing,
    grants: (policy ?? token)?.map(read) ?? 'unbounded',
    ...(policy && token && { within: token.map(read) }),
    ...(addresses && { addresses }),
    ...(maxUpload !== undefined && { maxUpload }),
    expires: sealed.expires / 1000,
    ...(bearer !== undefined &&
      issuer !== undefined && {
        credential: { kind: 'bearer', secret: new Secret(bearer), issuer, audiences: sealed.audiences },
      }),
    counted: sealed.principal,
  }
  const marks = [`s3-key:${id}`, markOf(id), `epoch:${epoch.id}`, ...(sealed.marks ?? [])]
  return { principal, holder: { id: sealed.principal, user, tokenId, marks, ...(issuer !== undefined && { issuer }) } }
}

function secretOf(id: string, epoch: Epoch): Secret {
  return new Secret(createHmac('sha256', epoch.key('s3-secret')).update(id).digest().subarray(0, 30).toString('base64'))
}

function seal(sealed: Sealed, epoch: Epoch): string {
  const iv = randomBytes(ivBytes)
  const sealing = createCipheriv(cipher, epoch.key('s3-session'), iv, { authTagLength: tagBytes })
  sealing.setAAD(Buffer.from(epoch.id))
  const plain = deflateRawSync(JSON.stringify(sealed))
  const bytes = Buffer.concat([iv, sealing.update(plain), sealing.final(), sealing.getAuthTag()])
  return `ps1.${epoch.id}.${bytes.toString('base64url')}`
}

function unseal(body: string, epoch: Epoch): Sealed | undefined {
  const bytes = Buffer.from(body, 'base64url')
  // One session has one token: what decoding would pass over is not part of it.
  if (bytes.toString('base64url') !== body) return undefined
  const opening = createDecipheriv(cipher, epoch.key('s3-session'), bytes.subarray(0, ivBytes), {
    authTagLength: tagBytes,
  })
  opening.setAAD(Buffer.from(epoch.id))
  opening.setAuthTag(bytes.subarray(-tagBytes))
  try {
    const plain = Buffer.concat([opening.update(bytes.subarray(ivBytes, -tagBytes)), opening.final()])
    // Sealed by us, so it is of the form that we gave it.
    return JSON.parse(inflateRawSync(plain, { maxOutputLength: mostPlain }).toString()) as Sealed
  } catch {
    // Whatever is wrong with it, it is none of ours.
    return undefined
  }
}

function written({ kind, path, directoryOnly, exact, except }: Grant): WrittenGrant {
  const only = exact ? 2 : directoryOnly ? 1 : 0
  return except ? [kind, path, only, except] : [kind, path, only]
}

function read([kind, path, only, except]: WrittenGrant): Grant {
  return {
    kind,
    path: parsePath(path),
    directoryOnly: only === 1,
    ...(only === 2 && { exact: true }),
    ...(except && { except: except.map(parsePath) }),
  }
}
