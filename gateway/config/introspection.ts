/** The section `introspection` of an issuer: asking it about tokens. */

import { z } from 'zod'
import type { BrokenRule, KeyPath } from './problems.ts'
import { choice, isLoopback, list, origin, section, span, text, whole, yesNo } from './values.ts'

/** Issuers to which a token is shown that could be of any of them. */
const mostUnmarked = 3
const longest = 16 * 1024

export function introspection<Secret extends z.ZodType>(secret: Secret) {
  return section({
    /** As its metadata says if absent. */
    endpoint: z
      .string('expected an address such as https://login.example.org/introspect')
      .refine(isAddress, 'expected an address such as https://login.example.org/introspect, without user or fragment')
      .exactOptional(),
    /** Origins of the endpoints that its metadata names, besides its own. */
    origins: list(origin, 20).default([]),
    clientId: text,
    clientSecret: secret,
    /** How the secret is sent. */
    authentication: choice('basic', 'post').default('basic'),
    /** Asks about signed tokens too. */
    jwts: yesNo.default(false),
    /** Opaque tokens that begin so are its own. */
    prefix: z
      .string('expected the beginning of tokens')
      .regex(/^[A-Za-z0-9._~+/-]{1,100}$/, 'expected the beginning of tokens, of letters, digits and . _ ~ + / -')
      .exactOptional(),
    /** Characters of its opaque tokens. */
    length: section({ least: whole(1, longest).default(16), most: whole(1, longest).default(4096) }).exactOptional(),
    /** Claims are asked for at its UserInfo endpoint too. */
    userInfo: yesNo.default(false),
    /** Takes tokens for which it names no audience. */
    withoutAudience: yesNo.default(false),
    /** An answer is believed for so long. */
    remember: span.refine((value) => value <= 300_000, 'expected at most 5m').default(60_000),
  })
}

function isAddress(given: string): boolean {
  const url = URL.parse(given)
  return url !== null && url.username === '' && url.password === '' && url.hash === ''
}

interface Issuer {
  readonly profile: string
  readonly insecure?: boolean | undefined
  readonly introspection?: z.output<ReturnType<typeof introspection<z.ZodType>>> | undefined
}

/** What must hold between these sections and their issuers. */
export function* introspectionRules(issuers: readonly Issuer[]): Generator<BrokenRule> {
  let unmarked = 0
  for (const [index, { profile, insecure, introspection: section }] of issuers.entries()) {
    if (!section) continue
    const path: KeyPath = ['issuers', index, 'introspection']
    const { endpoint, prefix, length } = section
    if (profile === 'scitokens') yield { path, text: 'SciTokens are signed; nobody is asked about them' }
    if (endpoint !== undefined && !isSafe(endpoint, insecure === true)) {
      yield { path: [...path, 'endpoint'], text: 'must be https (with `insecure: true` also http on loopback)' }
    }
    if (length && length.least > length.most) yield { path: [...path, 'length'], text: 'least is more than most' }
    if (prefix !== undefined) continue
    unmarked++
    if (unmarked === mostUnmarked + 1) {
      const text = `only ${mostUnmarked} issuers may have none; every token would be shown to all of them`
      yield { path: [...path, 'prefix'], text }
    }
  }
}

function isSafe(address: string, mayBeLocal: boolean): boolean {
  const url = URL.parse(address)
  if (url?.protocol === 'https:') return true
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? ''
  return mayBeLocal && url?.protocol === 'http:' && (host === 'localhost' || isLoopback(host))
}
