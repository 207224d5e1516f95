/** The sections about who is calling: `issuers` and `accounts`. */

import { z } from 'zod'
import { algorithms } from '../../acl/identity/options.ts'
import { introspection, introspectionRules } from './introspection.ts'
import { ldapRules, ldapSection } from './ldap.ts'
import { issuerNames, type mappingRule, mappingRules } from './mapping.ts'
import type { BrokenRule } from './problems.ts'
import { isSafeIssuer, scopes } from './sign-in.ts'
import { choice, countGiven, duration, list, origin, path, section, span, text, yesNo } from './values.ts'

export function issuer<File extends z.ZodType, Secret extends z.ZodType>(file: File, secret: Secret) {
  return section({
    issuer: text,
    name: z
      .string('expected a short name')
      .regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'expected a short name of a-z, 0-9, _ . -'),
    keys: section({
      discovery: z.literal(true, 'expected true').exactOptional(),
      /** With discovery: further origins that may hold the key set. */
      origins: list(origin).exactOptional(),
      jwksUrl: text.exactOptional(),
      jwksFile: file.exactOptional(),
    }),
    /** Allows http to loopback addresses for `keys`. */
    insecure: yesNo.exactOptional(),
    /** PEM certificates trusted for fetching keys instead of the system's. */
    ca: file.exactOptional(),
    audiences: list(text).min(1, 'expected at least one audience'),
    anyAudience: yesNo.exactOptional(),
    algorithms: list(choice(...algorithms))
      .min(1, 'expected at least one algorithm')
      .exactOptional(),
    types: list(text).exactOptional(),
    profile: choice('wlcg', 'scitokens', 'plain'),
    basePath: path.exactOptional(),
    account: text.exactOptional(),
    groups: section({
      claim: text.exactOptional(),
      prefix: z.string('expected a text').exactOptional(),
    }).exactOptional(),
    ...issuerNames,
    leeway: duration.exactOptional(),
    maxLifetime: span.exactOptional(),
    /** Asks it about its tokens (RFC 7662). */
    introspection: introspection(secret).exactOptional(),
    /** Its public client for `portolan login` (RFC 8628). */
    device: section({
      clientId: text,
      scopes: scopes.default(['openid', 'offline_access']),
    }).exactOptional(),
  })
}

export function accountSource<File extends z.ZodType, Secret extends z.ZodType>(file: File, secret: Secret) {
  return section({
    file: file.exactOptional(),
    system: z.literal(true, 'expected true').exactOptional(),
    getent: file.exactOptional(),
    ldap: ldapSection(file, secret).exactOptional(),
  })
}

interface Parts {
  readonly domain: string
  readonly issuers: ReadonlyArray<z.output<ReturnType<typeof issuer>>>
  readonly mapping: ReadonlyArray<z.output<typeof mappingRule>>
  readonly accounts: ReadonlyArray<z.output<ReturnType<typeof accountSource>>>
}

/** What must hold between these sections. */
export function* identityRules(parts: Parts): Generator<BrokenRule> {
  yield* issuing(parts)
  yield* introspectionRules(parts.issuers)
  yield* mappingRules(parts)
}

function* issuing({ domain, issuers, accounts }: Parts): Generator<BrokenRule> {
  const [names, urls] = [new Set([domain]), new Set<string>()]
  for (const [index, issuer] of issuers.entries()) {
    const path = ['issuers', index]
    if (names.has(issuer.name)) yield { path: [...path, 'name'], text: 'is taken by another issuer or is the domain' }
    if (urls.has(issuer.issuer)) yield { path: [...path, 'issuer'], text: 'is there twice' }
    names.add(issuer.name)
    urls.add(issuer.issuer)
    const { discovery, jwksUrl, jwksFile, origins } = issuer.keys
    if (countGiven(discovery, jwksUrl, jwksFile) !== 1) {
      yield { path: [...path, 'keys'], text: 'expected one of discovery, jwksUrl and jwksFile' }
    }
    if (issuer.device && !isSafeIssuer(issuer.issuer, issuer.insecure === true)) {
      yield { path: [...path, 'device'], text: 'goes with an issuer whose address is https' }
    }
    if (origins && !discovery) yield { path: [...path, 'keys', 'origins'], text: 'goes with `discovery: true` only' }
    if (issuer.profile === 'plain') continue
    for (const key of ['account', 'basePath'] as const) {
      if (issuer[key] === undefined)
        yield { path, text: `${key} is missing; tokens with scopes (${issuer.profile}) need it` }
    }
  }
  for (const [index, source] of accounts.entries()) {
    const path = ['accounts', index]
    if (countGiven(source.file, source.system, source.ldap) !== 1) yield { path, text: 'expected file, system or ldap' }
    else if (source.getent && !source.system) yield { path: [...path, 'getent'], text: 'goes with `system: true` only' }
    if (source.ldap) yield* ldapRules(source.ldap, [...path, 'ldap'])
  }
}
