/** The section `mapping`, and what issuers say for it. */

import { z } from 'zod'
import { canonicalName } from '../../acl/identity/distinguished-names.ts'
import { namespaceOf, parseEntitlement } from '../../acl/identity/entitlements.ts'
import type { BrokenRule, KeyPath } from './problems.ts'
import { countGiven, hostName, list, section, text } from './values.ts'

/** Keys of an issuer. */
export const issuerNames = {
  /** Which entitlements (AARC-G069) of its tokens count as groups; none if absent. */
  entitlements: section({
    namespaces: list(namespace(), 100).min(1, 'expected at least one namespace'),
    /** What follows `#`, where that must be one of these. */
    authorities: list(text, 100).min(1, 'expected at least one authority').exactOptional(),
  }).exactOptional(),
  /** Domains whose scoped names, user@DOMAIN, it gives out itself. */
  domains: list(hostName, 100).exactOptional(),
}

export const mappingRule = section({
  /** Its short name; absent in rules about certificates. */
  issuer: text.exactOptional(),
  subject: text.exactOptional(),
  claim: text.exactOptional(),
  /** `@` and a domain, which is left out of the claim's value. */
  match: text.exactOptional(),
  group: text.exactOptional(),
  entitlement: text.exactOptional(),
  /** The subject of a TLS client certificate. */
  certificate: text.exactOptional(),
  /** The rule is for tokens whose `eduperson_assurance` holds all of these. */
  assurance: list(text, 100).min(1, 'expected at least one value').exactOptional(),
  account: text.exactOptional(),
  joins: text.exactOptional(),
})

type Rule = z.output<typeof mappingRule>

interface Issuer {
  readonly name: string
  readonly profile: string
  readonly entitlements?: { readonly namespaces: readonly string[] } | undefined
  readonly domains?: readonly string[] | undefined
}

interface Parts {
  readonly issuers: readonly Issuer[]
  readonly mapping: readonly Rule[]
}

/** What must hold between issuers and mapping rules. */
export function* mappingRules({ issuers, mapping }: Parts): Generator<BrokenRule> {
  for (const [index, rule] of mapping.entries()) {
    const path = ['mapping', index]
    const { subject, claim, group, entitlement, certificate, account, joins } = rule
    if (countGiven(subject, claim, group, entitlement, certificate) !== 1) {
      yield { path, text: 'expected one of subject, claim, group, entitlement and certificate' }
    }
    if (countGiven(account, joins) !== 1) yield { path, text: 'expected either account or joins' }
    if (joins !== undefined && group === undefined && entitlement === undefined) {
      yield { path: [...path, 'joins'], text: 'goes with `group` and `entitlement` only' }
    }
    if (certificate !== undefined) yield* certificateRule(rule, certificate, path)
    else yield* tokenRule(rule, issuers, path)
  }
}

function* certificateRule({ issuer, assurance }: Rule, certificate: string, path: KeyPath): Generator<BrokenRule> {
  if (canonicalName(certificate) === undefined) {
    yield {
      path: [...path, 'certificate'],
      text: 'expected a name such as CN=Alice,O=Grid,C=DE or /C=DE/O=Grid/CN=Alice',
    }
  }
  if (issuer !== undefined) yield { path: [...path, 'issuer'], text: 'does not go with `certificate`' }
  if (assurance) yield { path: [...path, 'assurance'], text: 'does not go with `certificate`' }
}

function* tokenRule(rule: Rule, issuers: readonly Issuer[], path: KeyPath): Generator<BrokenRule> {
  const { claim, match, entitlement, account } = rule
  const issuer = issuers.find(({ name }) => name === rule.issuer)
  if (rule.issuer === undefined) yield { path: [...path, 'issuer'], text: 'is missing' }
  else if (!issuer) yield { path: [...path, 'issuer'], text: 'is not the name of an issuer above' }
  if (claim !== undefined && account?.split('{value}').length !== 2) {
    yield { path: [...path, 'account'], text: 'must hold {value} once, where the value of the claim goes' }
  }
  if (match !== undefined && claim === undefined) yield { path: [...path, 'match'], text: 'goes with `claim` only' }
  if (match !== undefined && issuer && !issuer.domains?.some((domain) => match === `@${domain}`)) {
    yield { path: [...path, 'match'], text: "expected @ and one of the issuer's `domains`" }
  }
  const bySubject = rule.subject !== undefined ? 'subject' : claim === 'sub' ? 'claim' : undefined
  if (bySubject !== undefined && issuer?.profile === 'scitokens') {
    yield { path: [...path, bySubject], text: 'the subject of a SciToken may not be mapped to an account' }
  }
  if (entitlement !== undefined) yield* entitlementRule(entitlement, issuer, [...path, 'entitlement'])
}

function* entitlementRule(entitlement: string, issuer: Issuer | undefined, path: KeyPath): Generator<BrokenRule> {
  const namespace = parseEntitlement(entitlement)?.namespace
  if (namespace === undefined) {
    yield { path, text: 'expected an entitlement such as urn:geant:helmholtz.de:group:HIFIS' }
  } else if (issuer && !issuer.entitlements?.namespaces.some((each) => namespaceOf(each) === namespace)) {
    yield { path, text: `is of ${namespace}, which is not among the issuer's \`entitlements: { namespaces }\`` }
  }
}

function namespace() {
  const expected = 'expected a namespace such as urn:geant:helmholtz.de'
  return z.string(expected).refine((given) => namespaceOf(given) !== undefined, expected)
}
