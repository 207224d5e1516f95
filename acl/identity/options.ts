/** What the configuration says about identity, and the checks that need more than one of its lines. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type {
  AppPasswordStore,
  AttemptStore,
  RevocationStore,
  S3KeyStore,
  SessionStore,
  ShareStore,
} from '../../gateway/state/state.ts'
import type { Secret } from '../secret.ts'
import type { EpochSecrets } from './epochs.ts'
import { accountName, groupName } from './names.ts'

/** Signature algorithms that an issuer may be allowed (RFC 7518, RFC 8037, RFC 9864); never HMAC, never none. */
export const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const
export type Algorithm = (typeof algorithms)[number]

/** How the scopes and groups of an issuer's tokens are read. */
export type ProfileName = 'wlcg' | 'scitokens' | 'plain'

/** Where an issuer's keys come from. Nothing is ever fetched from an address that a token names. */
export type KeySourceOptions =
  /** `issuer` + /.well-known/openid-configuration; its jwks_uri must be of the same origin or of one in `origins`. */
  | { readonly discovery: true; readonly origins?: readonly string[] }
  | { readonly jwksUrl: string }
  /** A file; read again when it changes. */
  | { readonly jwksFile: string }

export interface IssuerOptions {
  /** Compared with `iss` byte by byte. */
  readonly issuer: string
  /** Short name: groups of its tokens become NAME@`name`; mapping rules refer to it. */
  readonly name: string
  readonly keys: KeySourceOptions
  /** Allows http to loopback addresses for `keys`. For development. */
  readonly insecure?: boolean
  /** File of PEM certificates trusted for fetching keys instead of the system's; read at every fetch. */
  readonly ca?: string
  /** A token must be meant for one of these, compared as whole strings. List the WLCG `any` here to accept it. */
  readonly audiences: readonly string[]
  /** SciTokens only: whether the audience `ANY` is accepted (default yes). */
  readonly anyAudience?: boolean
  /** Default RS256 and ES256. */
  readonly algorithms?: readonly Algorithm[]
  /** Accepted `typ` headers, lower case without "application/"; then one is required. Default: none, jwt, at+jwt. */
  readonly types?: readonly string[]
  readonly profile: ProfileName
  /** Scopes are relative to this path. Required for wlcg and scitokens. */
  readonly basePath?: Path
  /** The account of tokens with scopes for which no mapping rule speaks. Required for wlcg and scitokens. */
  readonly account?: string
  readonly groups?: {
    /** `plain` only: the claim that lists groups; without it there are none. */
    readonly claim?: string
    /** Put before each group name. */
    readonly prefix?: string
  }
  /** Seconds that `nbf` and `iat` may lie in the future (default 60). There is none for `exp`. */
  readonly leeway?: number
  /** Longest time in seconds from `iat` to `exp` (default 6 h for wlcg, else 24 h). */
  readonly maxLifetime?: number
}

/** One line that says which account, or which local group, a verified token stands for. `issuer` is a short name. */
export type MappingRule =
  | { readonly issuer: string; readonly subject: string; readonly account: string }
  /** `account` holds `{value}` once, which the claim's value replaces. */
  | { readonly issuer: string; readonly claim: string; readonly account: string }
  | { readonly issuer: string; readonly group: string; readonly account: string }
  | { readonly issuer: string; readonly group: string; readonly joins: string }

export type AccountSourceOptions =
  | { readonly file: string }
  /** The system's name service; `getent` is the program asked (default /usr/bin/getent). */
  | { readonly system: true; readonly getent?: string }

/** Who was banned, asked before every use of a credential, also a cached one; so it must be quick. */
export interface Revocations {
  isRevoked(holder: Holder): boolean
  /** Takes over at once what was just revoked. */
  refresh?(): Promise<void>
}

export interface Holder {
  /** `Principal.id` of who signed in himself. */
  readonly id: string
  /** `Principal.user`. */
  readonly user: string | undefined
  /** `jti` of the token behind its issuer: "https://iss|jti". */
  readonly tokenId: string | undefined
  /** Other names under which it can be banned: "macaroon:ID", "epoch:ID", "session:ID", "app-password:ID", "s3-key:ID". */
  readonly marks?: readonly string[]
  /** At whose site the owner of a session signed in, as in `iss`. */
  readonly issuer?: string
}

/** How long macaroons may be good for, in seconds, and what they are made with. */
export interface MacaroonOptions {
  readonly secrets: EpochSecrets
  /** Where revocations are written down. */
  readonly revocations: RevocationStore
  readonly shares: ShareStore
  /** Where the caller names no time. */
  readonly defaultLifetime: number
  readonly maxLifetime: number
  /** Of share links. */
  readonly maxShareLifetime: number
  /** Written into each as a hint of where it may be used: our own address. */
  readonly location: string
}

/** Access keys of S3. Times in seconds. */
export interface S3KeyOptions {
  readonly keys: S3KeyStore
  /** Where their secrets lie; `SecretStore` of the state store. */
  readonly secrets: EpochSecrets
  /** Where what was ended is told to all processes. */
  readonly revocations: RevocationStore
  /** Where the caller names no time. */
  readonly lifetime: number
  readonly maxLifetime: number
}

/** An issuer at whose site people sign in. */
export interface LoginIssuerOptions {
  /** Short name of one of the issuers; not of SciTokens, which name nobody. */
  readonly name: string
  /** What people are shown. */
  readonly label: string
  readonly clientId: string
  /** Absent for a public client. */
  readonly clientSecret?: Secret
  /** `openid` is among them. */
  readonly scopes: readonly string[]
  /** Further origins that its endpoints may be at, as its metadata tells them. */
  readonly origins: readonly string[]
  /** Claims are asked for at its UserInfo endpoint too; those of the ID token count first. */
  readonly userInfo: boolean
  /** A session ends with the ID token. */
  readonly endsWithToken: boolean
}

/** Signing in as a person. Times in seconds. */
export interface SignInOptions {
  readonly issuers: readonly LoginIssuerOptions[]
  /** Whether a form asks for the passwords of accounts. */
  readonly passwords: boolean
  readonly sessions: SessionStore
  /** Without a request; from the beginning. */
  readonly idle: number
  readonly lifetime: number
  readonly appPasswords: AppPasswordStore
  readonly appPasswordLifetime: number
  readonly maxAppPasswordLifetime: number
  readonly attempts: AttemptStore
  /** Where what was ended is told to all processes. */
  readonly revocations: RevocationStore
}

export interface IdentityOptions {
  /** NFSv4 domain of local accounts: alice becomes alice@`domain`. */
  readonly domain: string
  readonly issuers: readonly IssuerOptions[]
  readonly mapping: readonly MappingRule[]
  /** Asked in this order; the first that knows a name answers for it. */
  readonly accounts: readonly AccountSourceOptions[]
  /** Accounts with a smaller uid are refused, whatever a source says. 0 is refused always. */
  readonly minUid: number
  /** Users with their domain, such as admin@desy.de. */
  readonly administrators: readonly string[]
  readonly revocations?: Revocations
  /** Where bans are written down that `revocations` tells of. */
  readonly bans?: RevocationStore
  /** None are made or accepted if absent. */
  readonly macaroons?: MacaroonOptions
  /** No sessions and application passwords if absent. */
  readonly signIn?: SignInOptions
  /** No access keys if absent; no temporary ones without `macaroons`, whose keys seal them. */
  readonly s3?: S3KeyOptions
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number
}

/** Throws `invalid` and names the line when two lines do not fit together; a quiet mistake here would open doors. */
export function checkOptions(options: IdentityOptions): void {
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(options.domain)) throw wrong('domain is not a domain name')
  if (!Number.isSafeInteger(options.minUid) || options.minUid < 1) throw wrong('minUid must be at least 1')
  const names = new Set<string>([options.domain])
  const urls = new Set<string>()
  for (const [index, issuer] of options.issuers.entries()) {
    const where = `issuers[${index}]`
    if (!/^[a-z0-9][a-z0-9_.-]{0,62}$/.test(issuer.name)) throw wrong(`${where}.name must be of a-z, 0-9, _ . -`)
    // A token group g@NAME must never read as the local group g@DOMAIN or as another issuer's.
    if (names.has(issuer.name)) throw wrong(`${where}.name is taken by another issuer or is the domain`)
    if (urls.has(issuer.issuer)) throw wrong(`${where}.issuer is there twice`)
    names.add(issuer.name)
    urls.add(issuer.issuer)
    checkIssuer(issuer, where)
  }
  for (const [index, rule] of options.mapping.entries()) checkRule(rule, options.issuers, `mapping[${index}]`)
  checkLogin(options)
}

function checkLogin({ issuers, signIn }: IdentityOptions): void {
  for (const [index, { name, scopes }] of (signIn?.issuers ?? []).entries()) {
    const where = `login.issuers[${index}]`
    const issuer = issuers.find((candidate) => candidate.name === name)
    if (issuer === undefined) throw wrong(`${where} is not the name of an issuer`)
    if (issuer.profile === 'scitokens') throw wrong(`${where}: SciTokens name nobody who could sign in`)
    if (!mayFetch(issuer.issuer, issuer)) {
      throw wrong(`${where}: only at https addresses people sign in (with insecure: true also http on loopback)`)
    }
    if (!scopes.includes('openid')) throw wrong(`${where}.scopes must hold openid`)
  }
}

function checkIssuer(issuer: IssuerOptions, where: string): void {
  if (issuer.issuer === '') throw wrong(`${where}.issuer is empty`)
  if (issuer.audiences.length === 0) throw wrong(`${where}.audiences must name at least one audience`)
  // The SciTokens profile forbids a server to call itself ANY.
  if (issuer.audiences.includes('ANY')) throw wrong(`${where}.audiences may not hold ANY`)
  if (issuer.algorithms?.length === 0) throw wrong(`${where}.algorithms is empty`)
  for (const name of issuer.algorithms ?? []) {
    if (!algorithms.includes(name)) throw wrong(`${where}.algorithms holds one that is not accepted`)
  }
  if (issuer.profile !== 'plain') {
    if (issuer.account === undefined) throw wrong(`${where}.account is required for tokens with scopes`)
    if (issuer.basePath === undefined) throw wrong(`${where}.basePath is required for tokens with scopes`)
  }
  if (issuer.account !== undefined && !accountName.test(issuer.account))
    throw wrong(`${where}.account is no account name`)
  if (!(issuer.leeway === undefined || (issuer.leeway >= 0 && issuer.leeway <= 600))) {
    throw wrong(`${where}.leeway must lie between 0 and 600 seconds`)
  }
  if (!(issuer.maxLifetime === undefined || issuer.maxLifetime > 0))
    throw wrong(`${where}.maxLifetime must be positive`)
  checkKeySource(issuer, where)
}

function checkKeySource(issuer: IssuerOptions, where: string): void {
  if ('jwksFile' in issuer.keys) return
  const fetched = 'jwksUrl' in issuer.keys ? [issuer.keys.jwksUrl] : [issuer.issuer, ...(issuer.keys.origins ?? [])]
  for (const address of fetched) {
    if (!mayFetch(address, issuer)) {
      throw wrong(`${where}.keys: only https addresses are fetched (with insecure: true also http on loopback)`)
    }
  }
}

/** Whether the keys of `issuer` may be fetched from this address by its scheme and host. */
export function mayFetch(address: string, issuer: Pick<IssuerOptions, 'insecure'>): boolean {
  const url = URL.parse(address)
  if (url === null || url.username !== '' || url.password !== '') return false
  if (url.protocol === 'https:') return true
  const isLoopback = url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(\.\d+){3}$/.test(url.hostname)
  return url.protocol === 'http:' && issuer.insecure === true && isLoopback
}

function checkRule(rule: MappingRule, issuers: readonly IssuerOptions[], where: string): void {
  const issuer = issuers.find((candidate) => candidate.name === rule.issuer)
  if (issuer === undefined) throw wrong(`${where}.issuer is not the name of an issuer`)
  if ('subject' in rule && issuer.profile === 'scitokens') {
    throw wrong(`${where}: the subject of a SciToken may not be mapped to an account`)
  }
  if ('joins' in rule) {
    if (!groupName.test(rule.joins)) throw wrong(`${where}.joins is no group name`)
    return
  }
  const isTemplate = 'claim' in rule
  if (isTemplate && rule.account.split('{value}').length !== 2) throw wrong(`${where}.account must hold {value} once`)
  const example = isTemplate ? rule.account.replace('{value}', 'a') : rule.account
  if (!accountName.test(example)) throw wrong(`${where}.account is no account name`)
}

function wrong(text: string): StorageError {
  return new StorageError('invalid', `identity: ${text}`)
}
