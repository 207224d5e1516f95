/** The section `links`: identities of issuers that people link to their accounts themselves. */

import { z } from 'zod'
import type { BrokenRule } from './problems.ts'
import { choice, isLoopback, lifetime, list, section, text, yesNo } from './values.ts'

export function linksSection<File extends z.ZodType, Secret extends z.ZodType>(file: File, secret: Secret) {
  return section({
    /** Names of issuers in `login`; those of others are not linked, and their links do not count. */
    issuers: list(text, 20).default([]),
    /** A link that was not proven anew by then does not count. */
    lifetime: lifetime.default(366 * 24 * 3_600_000),
    alise: list(alise(file, secret), 10).default([]),
  }).prefault({})
}

/** An account linking service that is asked besides. */
function alise<File extends z.ZodType, Secret extends z.ZodType>(file: File, secret: Secret) {
  return section({
    url: z.string('expected an address').refine(isPlain, 'expected an address such as https://alise.example.org'),
    site: z.string('expected a name').regex(/^[\w.-]{1,100}$/, 'expected a name of letters, digits, _ . -'),
    apiKey: secret,
    /** Names of issuers that it is asked about. */
    issuers: list(text, 20).min(1, 'expected at least one issuer'),
    form: choice('sha1', 'encoded', 'encoded-twice').default('sha1'),
    /** Allows http to loopback addresses. */
    insecure: yesNo.default(false),
    /** PEM certificates trusted instead of the system's. */
    ca: file.exactOptional(),
  })
}

function isPlain(given: string): boolean {
  const url = URL.parse(given)
  return url !== null && url.search === '' && url.hash === '' && url.username === '' && url.password === ''
}

interface Parts {
  readonly issuers: ReadonlyArray<{ readonly name: string; readonly profile: string }>
  readonly login: { readonly issuers: ReadonlyArray<{ readonly issuer: string }> }
  readonly links: z.output<ReturnType<typeof linksSection>>
}

/** What must hold between this section and others. */
export function* linkRules({ issuers, login, links }: Parts): Generator<BrokenRule> {
  for (const [index, name] of links.issuers.entries()) {
    if (login.issuers.some(({ issuer }) => issuer === name)) continue
    yield { path: ['links', 'issuers', index], text: 'is not the name of an issuer in `login`' }
  }
  for (const [index, { url, insecure, issuers: names }] of links.alise.entries()) {
    const path = ['links', 'alise', index]
    if (!isSafe(url, insecure)) yield { path: [...path, 'url'], text: 'must be https' }
    for (const [at, name] of names.entries()) {
      const issuer = issuers.find((each) => each.name === name)
      if (!issuer) yield { path: [...path, 'issuers', at], text: 'is not the name of an issuer in `issuers`' }
      else if (issuer.profile === 'scitokens') {
        yield { path: [...path, 'issuers', at], text: 'SciTokens name nobody who could have an account' }
      }
    }
  }
}

function isSafe(address: string, insecure: boolean): boolean {
  const { protocol, hostname } = new URL(address)
  const host = hostname.replace(/^\[|\]$/g, '')
  return protocol === 'https:' || (protocol === 'http:' && insecure && (host === 'localhost' || isLoopback(host)))
}
