/**
 * Which local account a verified identity stands for, and which local groups its groups count as. Pure.
 *
 * All rules are looked at, whatever their order, and so are links: two that name different accounts are a refusal, since
 * any choice between them would be a guess. An external identity is the pair of issuer and subject.
 */

import { type JsonObject, member } from '../json.ts'
import type { Principal } from '../principal.ts'
import { canonicalName } from './distinguished-names.ts'
import {
  type Entitlement,
  nameOfEntitlement,
  namesFulfilled,
  parseEntitlement,
  readEntitlements,
  satisfies,
} from './entitlements.ts'
import { maxAssurances } from './limits.ts'
import { accountName, reservedAccounts } from './names.ts'
import type { IssuerOptions, MappingRule, TokenRule } from './options.ts'
import { deny, quoted, refuse } from './refusal.ts'

export interface MappingInput {
  readonly issuer: IssuerOptions
  readonly subject: string | undefined
  readonly payload: JsonObject
  /** As the token writes them; none beside capabilities. */
  readonly groups: readonly string[]
  /** The token is bounded by scopes, so the issuer's own account may stand in. */
  readonly hasCapabilities: boolean
  /** What is known of this issuer and subject from elsewhere. */
  readonly linked?: readonly Linked[]
}

/** What is known of a link of ours. */
export type LinkParts = Pick<Principal, 'link' | 'linkEnds'>

/** An account that somebody proved to have besides the identity; with a link if it is known by one of ours. */
export interface Linked extends LinkParts {
  readonly account: string
  /** Who knows, for explanations: "the link of this identity". */
  readonly by: string
}

/** With a link if that alone gave the account. */
export interface Mapped extends LinkParts {
  readonly account: string
  /** Local groups joined by rule. */
  readonly joins: ReadonlySet<string>
  /** The groups of the token as NAME@ISSUERNAME; those of entitlements by their canonical names. */
  readonly groups: ReadonlySet<string>
  /** One sentence for each rule that spoke. */
  readonly explanation: readonly string[]
}

/**
 * Throws `denied`: mapping-none when nothing speaks, mapping-ambiguous when rules or links disagree; `unauthenticated`
 * for entitlements and assurances that cannot be read.
 */
export function mapToken(input: MappingInput, rules: readonly MappingRule[]): Mapped {
  const { issuer, payload } = input
  const held = input.hasCapabilities ? [] : readEntitlements(payload, issuer)
  const assured = assuranceOf(payload, issuer, rules)
  const said: Linked[] = []
  const lacking: string[] = []
  const joins = new Set<string>()
  const explanation: string[] = []
  for (const [index, rule] of rules.entries()) {
    if ('certificate' in rule || rule.issuer !== issuer.name) continue
    const line = nameOf(rule, index)
    const result = resultOf(rule, input, held)
    if (result === undefined) continue
    const missing = rule.assurance?.find((each) => !assured.has(each))
    if (missing !== undefined) {
      lacking.push(`${line} needs the assurance ${quoted(missing)}`)
    } else if ('joins' in rule) {
      explanation.push(`${line} counts group ${quoted(result.group)} as ${rule.joins}`)
      joins.add(rule.joins)
    } else {
      explanation.push(`${line} maps to account ${result.account}`)
      said.push({ account: result.account, by: line })
    }
  }
  for (const { account, by } of input.linked ?? []) explanation.push(`${by} names account ${account}`)
  said.push(...(input.linked ?? []))
  const account = choose(said, input, lacking)
  if (said.length === 0) explanation.push(`the scopes of issuer ${issuer.name} use its account ${account}`)
  return {
    account,
    joins,
    groups: groupsOf(input, held),
    explanation: [...explanation, ...lacking],
    ...(said.every((each) => each.link !== undefined) && linkParts(said[0])),
  }
}

/** Those of its parts that are there. */
export function linkParts({ link, linkEnds }: LinkParts = {}): LinkParts {
  return { ...(link !== undefined && { link }), ...(linkEnds !== undefined && { linkEnds }) }
}

/** The account of a TLS client certificate, by its subject as `canonicalName` reads it. Throws as `mapToken`. */
export function mapCertificate(subject: string, rules: readonly MappingRule[]): Mapped {
  const name = canonicalName(subject)
  const said: Linked[] = []
  for (const [index, rule] of rules.entries()) {
    if (!('certificate' in rule) || name === undefined || canonicalName(rule.certificate) !== name) continue
    said.push({ account: rule.account, by: nameOf(rule, index) })
  }
  const account = agreed(said, 'this certificate')
  if (account === undefined)
    throw deny('mapping-none', `no mapping rule speaks about the certificate ${quoted(subject)}`)
  const explanation = said.map(({ by }) => `${by} maps to account ${account}`)
  return { account, joins: new Set(), groups: new Set(), explanation }
}

/** For people, who have the configuration file before them. */
function nameOf({ line }: MappingRule, index: number): string {
  return `mapping rule ${index + 1}${line === undefined ? '' : ` (line ${line})`}`
}

/** What a rule makes of a token that it speaks about: the account, or the name of the group that it counts. */
function resultOf(rule: TokenRule, input: MappingInput, held: readonly Entitlement[]) {
  const account = 'account' in rule ? rule.account : ''
  if ('subject' in rule) return rule.subject === input.subject ? { account, group: '' } : undefined
  if ('group' in rule) return input.groups.includes(rule.group) ? { account, group: rule.group } : undefined
  if ('entitlement' in rule) {
    const required = parseEntitlement(rule.entitlement)
    if (required === undefined || !held.some((each) => satisfies(each, required))) return undefined
    return { account, group: nameOfEntitlement(required) }
  }
  const made = madeOf(rule, input)
  return made === undefined ? undefined : { account: made, group: '' }
}

function madeOf(
  { claim, match = '', account: template }: Extract<TokenRule, { claim: string }>,
  { payload, issuer }: MappingInput,
): string | undefined {
  const whole = member(payload, claim)
  if (typeof whole !== 'string' || !whole.endsWith(match)) return undefined
  if (match !== '' && issuer.domains?.includes(match.slice(1)) !== true) return undefined
  // OpenID Connect Core 1.0, section 5.1: without this word anybody may have written any address.
  if (claim === 'email' && member(payload, 'email_verified') !== true) return undefined
  const value = whole.slice(0, whole.length - match.length)
  // Both the value and what it makes must be account names, so that no value bends the template.
  if (!accountName.test(value)) return undefined
  const account = template.replace('{value}', () => value)
  return accountName.test(account) && !reservedAccounts.has(account) ? account : undefined
}

/** Looked at only where a rule asks for it: what nobody relies on cannot lock anybody out. */
function assuranceOf(payload: JsonObject, { name }: IssuerOptions, rules: readonly MappingRule[]): ReadonlySet<string> {
  if (!rules.some((rule) => 'issuer' in rule && rule.issuer === name && rule.assurance)) return new Set()
  const value = member(payload, 'eduperson_assurance')
  const list: readonly unknown[] = value === undefined ? [] : Array.isArray(value) ? value : [value]
  if (list.length > maxAssurances || list.some((each) => typeof each !== 'string')) {
    throw refuse('token-profile', `eduperson_assurance is not a list of at most ${maxAssurances} texts`)
  }
  return new Set(list as readonly string[])
}

/** A group that is joined keeps its own name too: a ban or a DENY entry may speak about either. */
function groupsOf({ groups, issuer }: MappingInput, held: readonly Entitlement[]): ReadonlySet<string> {
  const entitled = held.flatMap(namesFulfilled).map((name) => `${name}@${issuer.name}`)
  return new Set([...groups.map((group) => nameOfGroup(group, issuer)), ...entitled])
}

/** A group of a token by its name here. */
export function nameOfGroup(group: string, { name, groups }: IssuerOptions): string {
  return `${groups?.prefix ?? ''}${group}@${name}`
}

function choose(said: readonly Linked[], input: MappingInput, lacking: readonly string[]): string {
  const account = agreed(said, 'this identity')
  if (account !== undefined) return account
  const { name, account: own } = input.issuer
  if (input.hasCapabilities && own !== undefined) return own
  const subject = input.subject === undefined ? 'no subject' : `subject ${quoted(input.subject)}`
  const but = lacking.length === 0 ? '' : `; ${lacking.join(', ')}`
  throw deny(
    'mapping-none',
    `no mapping rule speaks about ${subject} of issuer ${name}, its claims or its groups${but}`,
  )
}

/** The one account that all of them name; undefined if there are none. */
function agreed(said: readonly Linked[], what: string): string | undefined {
  const first = new Map<string, string>()
  for (const { account, by } of said) if (!first.has(account)) first.set(account, by)
  if (first.size < 2) return said[0]?.account
  const answers = [...first].map(([account, by]) => `${by}: ${account}`).join(', ')
  throw deny('mapping-ambiguous', `there is more than one account for ${what} (${answers})`)
}
