/**
 * The keys of the configuration file, their values and their defaults. `deploy/portolan.yaml` shows
 * them all with comments; rules that need more than one key are in `rules.ts`.
 */

import { resolve } from 'node:path'
import { z } from 'zod'
import { root } from '../core/path.ts'
import { backendSection, type Sources } from './backends.ts'
import { clientCertificates, proxyCertificates } from './client-certificates.ts'
import { accountSource, issuer } from './identity.ts'
import { kerberosSection } from './kerberos.ts'
import { linksSection } from './links.ts'
import { mappingRule } from './mapping.ts'
import { passwordSection } from './passwords.ts'
import { s3Section } from './s3.ts'
import { appPasswordSection, loginSection } from './sign-in.ts'
import {
  address,
  choice,
  duration,
  hostName,
  lifetime,
  list,
  network,
  origin,
  path,
  remoteHost,
  section,
  size,
  span,
  text,
  whole,
  yesNo,
} from './values.ts'

/** Where a secret comes from; it is read when it is used, never kept in the configuration. */
export type SecretRef = { readonly file: string } | { readonly env: string }

/** The schema of a file in `directory`, from which relative file names start. */
export function schemaFor(directory: string) {
  const file = text.transform((name) => resolve(directory, name))
  const secret = secretFrom(file)
  return section({
    /** Our own address for links, redirects and signatures; the first listener's if absent and that is on loopback. */
    publicUrl: origin.exactOptional(),
    /** Host names that requests may carry, besides publicUrl's and the listeners' addresses. */
    hosts: list(hostName).default([]),
    /** What grid clients of the tape interface call us; publicUrl's host if absent. */
    siteName: text.exactOptional(),
    /** NFSv4 domain of local accounts: alice is alice@DOMAIN. */
    domain: hostName,
    /** The account to serve as when started as root. */
    runAs: account().exactOptional(),
    /** Serving processes; `auto` is one for each core, 8 at most. */
    workers: z.union([z.literal('auto'), whole(1, 64)], 'expected auto or a number from 1 to 64').default('auto'),
    listen: list(listener(file), 64).min(1, 'expected at least one listener'),
    /** Proxies whose X-Forwarded-* and PROXY headers are believed. */
    trustedProxies: list(network).default([]),
    /** Who is sent to the storage itself for bytes, where a mount has `redirects`. */
    redirects: section({
      /** User-Agent values of clients that do not send the credential of one host to another; `*` for any text. */
      userAgents: list(text, 100).default([]),
      /** Callers that send `Prefer: redirect`. */
      onRequest: yesNo.default(false),
    }).prefault({}),
    /** Copies between this gateway and other servers, by order of a client (HTTP third-party copy). */
    thirdParty: section({
      /** Servers to copy from and to; there are no such copies without. */
      hosts: list(remoteHost, 1000).default([]),
      /** Private networks in which they may be; loopback too. */
      networks: list(network, 1000).default([]),
      /** Lets them be reached by plain HTTP, where anybody on the way reads data and credentials. */
      insecure: yesNo.default(false),
      /** PEM certificates trusted instead of the system's. */
      ca: file.exactOptional(),
      transfers: whole(1, 10_000).default(256),
      transfersPerPrincipal: whole(1, 10_000).default(64),
      /** For an answer to begin: a server may compute a checksum or wait for a tape meanwhile. */
      answerTimeout: span.default(600_000),
    }).prefault({}),
    /** What callers hand on of their rights; takes `state.masterKeyFile`. */
    macaroons: section({
      /** Of those that are asked for without a time. */
      lifetime: lifetime.default(24 * 3_600_000),
      maxLifetime: lifetime.default(7 * 24 * 3_600_000),
      /** Of links for people. */
      maxShareLifetime: lifetime.default(30 * 24 * 3_600_000),
    }).prefault({}),
    /** People who sign in with a browser. */
    login: loginSection(secret),
    /** Who checks the passwords of accounts. */
    passwords: passwordSection(),
    /** Tickets on the HTTP doors; none are accepted if absent. */
    kerberos: kerberosSection(file).exactOptional(),
    /** What people give to their programs in place of a password. */
    appPasswords: appPasswordSection(),
    /** Buckets and access keys; there is no S3 if absent. */
    s3: s3Section(listener(file)).exactOptional(),
    /** Uploads that go on after a connection, or the gateway, has broken down. */
    uploads: section({
      /** They are taken away when nobody has finished them by then. */
      expire: lifetime.default(7 * 24 * 3_600_000),
      /** Unfinished ones. */
      perPrincipal: whole(1, 1_000_000).default(1000),
      /** Of bytes on their way to storage that keeps no drafts: dCache, and S3 stores. */
      spool: section({
        /** `uploads` in the state directory if absent. */
        directory: file.exactOptional(),
        /** Bytes, of all callers together. */
        size: size.default(100 * 2 ** 30),
      }).prefault({}),
    }).prefault({}),
    /** Prometheus metrics; none if absent. */
    metrics: section({
      address: address.default('127.0.0.1'),
      port: whole(0, 65_535),
      insecure: yesNo.default(false),
    }).exactOptional(),
    state: stateSection(file, secret),
    log: section({
      level: choice('trace', 'debug', 'info', 'warn', 'error', 'fatal').default('info'),
      /** Opened again on SIGHUP; standard error if absent. */
      file: file.exactOptional(),
    }).prefault({}),
    audit: section({
      /** Opened again on SIGHUP; `audit.jsonl` in the state directory if absent. */
      file: file.exactOptional(),
      /** When the log cannot be written: `stop` answering, or `continue` without it. */
      onFailure: choice('stop', 'continue').default('stop'),
    }).prefault({}),
    limits: limits(),
    /** May explain and inspect others; gives no right on data. */
    administrators: list(administrator).default([]),
    issuers: list(issuer(file, secret), 100).default([]),
    mapping: list(mappingRule).default([]),
    /** Identities of issuers that people link to their accounts. */
    links: linksSection(file, secret),
    accounts: list(accountSource(file, secret), 100).default([]),
    /** Accounts with a smaller uid are refused. */
    minUid: whole(1, 2 ** 32 - 2).default(1000),
    mounts: list(mount({ file, secret }), 1000).min(1, 'expected at least one mount'),
  })
}

const someone = 'expected a user such as admin@example.org, or group:NAME@example.org'
const administrator = z.string(someone).regex(/^[^@\s]+@[^@\s]+$/, someone)

const uid = whole(1, 2 ** 32 - 2)

function account() {
  return z.union([z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/i), z.strictObject({ uid, gid: uid })], {
    error: 'expected an account name or { uid: NUMBER, gid: NUMBER }, not 0',
  })
}

function secretFrom<File extends z.ZodType<string>>(file: File) {
  const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
  return z.union(
    [file.transform((name) => ({ file: name })), z.strictObject({ file }), z.strictObject({ env: variable })],
    'expected a file name, { file: NAME } or { env: VARIABLE }',
  )
}

function listener<File extends z.ZodType>(file: File) {
  return section({
    address,
    /** 0 takes any free port. */
    port: whole(0, 65_535),
    /** PEM files; the key is not readable by others. Both are read again on SIGHUP. */
    tls: section({
      certificate: file,
      key: file,
      /** Asks callers for certificates of their own. */
      clientCertificates: clientCertificates(file).exactOptional(),
    }).exactOptional(),
    /** Believes trusted proxies about the certificates of callers. */
    proxyCertificates: proxyCertificates(file).exactOptional(),
    /** Lets plain HTTP be reached from other machines. */
    insecure: yesNo.default(false),
    /** Connections begin with a PROXY header; only trusted proxies may connect. */
    proxyProtocol: yesNo.default(false),
  })
}

function stateSection<File extends z.ZodType, Secret extends z.ZodType>(file: File, secret: Secret) {
  return section({
    /** On a local disk; holds the state store. */
    directory: file,
    /** The key that seals secrets in the store, in a file or `{ env: VARIABLE }`; see `gateway/state/secrets.ts`. */
    masterKeyFile: secret.exactOptional(),
  })
}

function limits() {
  return section({
    connectionsPerPrincipal: whole(1, 1_000_000).default(256),
    inFlightPerPrincipal: whole(1, 1_000_000).default(128),
    stagedBytesPerPrincipal: size.default(2 ** 40),
    maxUpload: size.default(5 * 2 ** 40),
    /** Questions to `explain` and about the rights of others, of one principal in a minute. */
    explainPerMinute: whole(1, 1_000_000).default(120),
    /** Of one principal at a time (`portolan mount`). */
    mountsPerPrincipal: whole(1, 1_000_000).default(256),
    openFilesPerMount: whole(1, 1_000_000).default(4096),
    /** Of all mounts together, in one process. */
    openFiles: whole(1, 1_000_000).default(8192),
    /** Calls at once, all principals together. */
    inFlight: whole(1, 1_000_000).default(1024),
    headersTimeout: span.default(15_000),
    /** A connection without a request. */
    idleTimeout: span.default(60_000),
    /** A transfer that does not move. */
    stallTimeout: span.default(60_000),
    /** What runs may go on for this long after SIGTERM. */
    shutdownTimeout: duration.default(30_000),
  }).prefault({})
}

function mount<File extends z.ZodType, Secret extends z.ZodType>(sources: Sources<File, Secret>) {
  const given = section({
    path,
    backend: backendSection(sources),
    /** The directory of the back end that appears at `path`. */
    base: path.default(root),
    /** Who decides: `gateway` by the ACLs it reads, `native`: the kernel, as the user, or `delegated`: dCache. */
    enforce: choice('gateway', 'native', 'delegated').exactOptional(),
    readOnly: yesNo.default(false),
    /** Callers without a credential are let in as far as EVERYONE@ goes. */
    anonymous: yesNo.default(false),
    createParents: yesNo.default(false),
    /** Reading a file on tape fails until somebody stages it, or stages it (`on-read`). */
    recall: choice('explicit', 'on-read').default('explicit'),
    /** Calls at once in one process. */
    maxInFlight: whole(1, 100_000).default(256),
    /** A call that got no answer by then fails. */
    deadline: span.default(20_000),
    note: text.exactOptional(),
  })
  return given.transform(({ enforce, ...rest }) => ({ ...rest, enforce: enforce ?? usualGrade(rest.backend) }))
}

/** Who decides where the configuration does not say. */
function usualGrade(backend: { readonly type: string; readonly over?: string }): 'gateway' | 'native' | 'delegated' {
  if (backend.type === 'dcache') return 'delegated'
  return backend.type === 'dust' && backend.over === 'nfs' ? 'native' : 'gateway'
}
