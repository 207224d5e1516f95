/** The sections about people who sign in: `login` and `appPasswords`. */

import { z } from 'zod'
import type { KeyPath } from './problems.ts'
import { isLoopback, lifetime, list, origin, section, text, yesNo } from './values.ts'

/** RFC 6749, section 3.3. */
export const scopes = list(
  z.string('expected a scope').regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/, 'expected a scope'),
  50,
)

export function loginSection<Secret extends z.ZodType>(secret: Secret) {
  return section({
    issuers: list(loginIssuer(secret), 20).default([]),
    /** A form asks for the passwords of accounts, where these have some. */
    passwords: yesNo.default(true),
    /** A session ends when it is not used for this long, and after `lifetime` anyway. */
    idle: lifetime.default(2 * 3_600_000),
    lifetime: lifetime.default(12 * 3_600_000),
  }).prefault({})
}

function loginIssuer<Secret extends z.ZodType>(secret: Secret) {
  return section({
    /** The name of one of `issuers`. */
    issuer: text,
    /** What people are shown; its name if absent. */
    label: text.exactOptional(),
    clientId: text,
    /** Absent for a public client. */
    clientSecret: secret.exactOptional(),
    scopes: scopes.default(['openid']),
    /** Origins of its endpoints, besides its own. */
    origins: list(origin, 20).default([]),
    /** Claims are asked for at its UserInfo endpoint too. */
    userInfo: yesNo.default(false),
    /** A session ends with the ID token. */
    endWithToken: yesNo.default(false),
  })
}

export function appPasswordSection() {
  return section({
    /** Of those that are asked for without a time. */
    lifetime: lifetime.default(90 * 24 * 3_600_000),
    maxLifetime: lifetime.default(366 * 24 * 3_600_000),
  }).prefault({})
}

interface Parts {
  readonly publicUrl?: string | undefined
  readonly issuers: ReadonlyArray<{
    readonly name: string
    readonly issuer: string
    readonly insecure?: boolean | undefined
    readonly profile: string
  }>
  readonly login: z.output<ReturnType<typeof loginSection>>
  readonly appPasswords: z.output<ReturnType<typeof appPasswordSection>>
}

/** What must hold between these sections and others. */
export function* signInRules({ publicUrl, issuers, login, appPasswords }: Parts): Generator<{
  readonly path: KeyPath
  readonly text: string
}> {
  const seen = new Set<string>()
  for (const [index, { issuer: name, scopes }] of login.issuers.entries()) {
    const path = ['login', 'issuers', index]
    const issuer = issuers.find((each) => each.name === name)
    if (seen.has(name)) yield { path: [...path, 'issuer'], text: 'is there twice' }
    seen.add(name)
    if (!issuer) yield { path: [...path, 'issuer'], text: 'is not the name of an issuer in `issuers`' }
    if (issuer?.profile === 'scitokens') {
      yield { path: [...path, 'issuer'], text: 'SciTokens name nobody who could sign in' }
    }
    if (issuer && !isSafeIssuer(issuer.issuer, issuer.insecure === true)) {
      yield { path: [...path, 'issuer'], text: 'must have an https address, where people are sent to sign in' }
    }
    if (!scopes.includes('openid')) yield { path: [...path, 'scopes'], text: 'must hold openid' }
  }
  if (login.issuers.length > 0 && publicUrl !== undefined && !isSafeIssuer(publicUrl, true)) {
    yield { path: ['publicUrl'], text: 'must be https off loopback where people sign in at an issuer' }
  }
  if (login.idle > login.lifetime) yield { path: ['login', 'idle'], text: 'is longer than `lifetime`' }
  if (appPasswords.lifetime > appPasswords.maxLifetime) {
    yield { path: ['appPasswords', 'lifetime'], text: 'is longer than `maxLifetime`' }
  }
}

/** https, or with `mayBeLocal` http on this machine. */
export function isSafeIssuer(address: string, mayBeLocal: boolean): boolean {
  const url = URL.parse(address)
  if (url?.protocol === 'https:') return true
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? ''
  return mayBeLocal && url?.protocol === 'http:' && (host === 'localhost' || isLoopback(host))
}
