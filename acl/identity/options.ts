/** What the configuration says about identity, and the checks that need more than one of its lines. */

import type { Path } from '../../gateway/core/path.ts'
import type {
  AppPasswordStore,
  AttemptStore,
  LinkStore,
  RevocationStore,
  S3KeyStore,
  SessionStore,
  ShareStore,
} from '../../gateway/state/state.ts'
import type { Secret } from '../secret.ts'
import type { SourceState } from './accounts.ts'
import type { EpochSecrets } from './epochs.ts'
import type { KerberosOptions } from './kerberos/options.ts'
import type { LdapOptions } from './ldap/options.ts'
import type { PasswordOptions } from './passwords.ts'

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
  /** Which entitlements (AARC-G069) of its tokens count as groups; none if absent. */
  readonly entitlements?: {
    /** Such as urn:geant:helmholtz.de; those of other namespaces are not its to give. */
    readonly namespaces: readonly string[]
    /** What follows `#` must be one of these, where given. */
    readonly authorities?: readonly string[]
  }
  /** Domains whose scoped names, user@DOMAIN, this issuer gives out itself. Rules with `match` are for these alone. */
  readonly domains?: readonly string[]
  /** Seconds that `nbf` and `iat` may lie in the future (default 60). There is none for `exp`. */
  readonly leeway?: number
  /** Longest time in seconds from `iat` to `exp` (default 6 h for wlcg, else 24 h). */
  readonly maxLifetime?: number
  /** Its opaque tokens are refused if absent. */
  readonly introspection?: IntrospectionOptions
  /** Its client for programs without a browser (RFC 8628), which has no secret. Only told to them. */
  readonly device?: {
    readonly clientId: string
    readonly scopes: readonly string[]
  }
}

/** Asking an issuer about its tokens (RFC 7662). */
export interface IntrospectionOptions {
  /** As its metadata say if absent. */
  readonly endpoint?: string
  /** Further origins that the endpoints of its metadata may be at. */
  readonly origins: readonly string[]
  readonly clientId: string
  readonly clientSecret: Secret
  /** How the secret is sent: RFC 6749, section 2.3.1. */
  readonly authentication: 'basic' | 'post'
  /** Asks about signed tokens too, each time that what is known of one has become old. */
  readonly jwts: boolean
  /** Opaque tokens that begin so are of this issuer, and shown to no other. */
  readonly prefix?: string
  /** In characters; 16 to 4096 if absent. */
  readonly length?: { readonly least: number; readonly most: number }
  /** Claims are asked for at its UserInfo endpoint too; those of the first answer count first. */
  readonly userInfo: boolean
  /** Takes tokens for which it names no audience: it is asked as somebody whom it tells of no other tokens. */
  readonly withoutAudience: boolean
  /** Seconds that an answer is believed, 300 at most. */
  readonly remember: number
}

/** One line that says which account, or which local group, a verified identity stands for. */
export type MappingRule = TokenRule | CertificateRule

/** `issuer` is a short name. */
export type TokenRule = {
  readonly issuer: string
  /** Of the configuration file, for people. */
  readonly line?: number
  /** All of these must be in `eduperson_assurance`. */
  readonly assurance?: readonly string[]
} & (
  | { readonly subject: string; readonly account: string }
  /** `account` holds `{value}` once, which the claim's value replaces. With `match` the value ends in that, which is left out. */
  | { readonly claim: string; readonly match?: string; readonly account: string }
  | { readonly group: string; readonly account: string }
  | { readonly group: string; readonly joins: string }
  /** See entitlements.ts. */
  | { readonly entitlement: string; readonly account: string }
  | { readonly entitlement: string; readonly joins: string }
)

/** The name of a TLS client certificate; see distinguished-names.ts. */
export interface CertificateRule {
  readonly certificate: string
  readonly account: string
  readonly line?: number
}

export type AccountSourceOptions =
  | { readonly file: string }
  /** The system's name service; `getent` is the program asked (default /usr/bin/getent). */
  | { readonly system: true; readonly getent?: string }
  | { readonly ldap: LdapOptions }

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
  /** Other names under which it can be banned: "macaroon:ID", "epoch:ID", "session:ID", "app-password:ID", "s3-key:ID", "link:ID". */
  readonly marks?: readonly string[]
  /** At whose site the owner of a session signed in, as in `iss`. */
  readonly issuer?: string
  /** `Principal.groups`. */
  readonly groups?: ReadonlySet<string>
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

/** Identities of issuers that people link to their accounts themselves. */
export interface LinkOptions {
  readonly store: LinkStore
  /** Where what was ended is told to all processes. */
  readonly revocations: RevocationStore
  /** Short names of issuers at which people sign in; links of others do not count. */
  readonly issuers: readonly string[]
  /** Seconds after which a link counts no more unless it was proven anew; undefined: it does not end. */
  readonly lifetime?: number
}

/** An account linking service with the interface of ALISE (its documentation, `api-endpoints.md`). */
export interface AliseOptions {
  /** Its address, to which /api/v1/… is added. */
  readonly url: string
  /** What it calls our site. */
  readonly site: string
  readonly apiKey: Secret
  /** Short names of the issuers that it is asked about. */
  readonly issuers: readonly string[]
  /** How it wants to be told the issuer and the subject: a hash, or percent-encoded, as servers that decode twice need it twice. */
  readonly form: 'sha1' | 'encoded' | 'encoded-twice'
  /** Allows http to loopback addresses. For development. */
  readonly insecure?: boolean
  /** File of PEM certificates trusted instead of the system's; read at every question. */
  readonly ca?: string
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
  /** Users with their domain, such as admin@desy.de, and groups of it: group:wheel@desy.de. See administrators.ts. */
  readonly administrators: readonly string[]
  readonly revocations?: Revocations
  /** Where bans are written down that `revocations` tells of. */
  readonly bans?: RevocationStore
  /** None are made or accepted if absent. */
  readonly macaroons?: MacaroonOptions
  /** Who checks passwords; `accounts` alone if absent. */
  readonly passwords?: PasswordOptions
  /** No tickets are accepted if absent. */
  readonly kerberos?: KerberosOptions
  /** No sessions and application passwords if absent. */
  readonly signIn?: SignInOptions
  /** No access keys if absent; no temporary ones without `macaroons`, whose keys seal them. */
  readonly s3?: S3KeyOptions
  /** Called when a directory of accounts, or one of its servers, no longer answers, and when it does again. */
  readonly report?: (state: SourceState) => void
  /** Nobody links identities of issuers to accounts if absent, and no links count. */
  readonly links?: LinkOptions
  /** Services that are asked for links besides. */
  readonly alise?: readonly AliseOptions[]
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number
}
