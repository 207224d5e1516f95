/**
 * Which local account a verified token stands for, and which local groups its groups count as. Pure.
 *
 * All rules are looked at, whatever their order: two that name different accounts are a refusal, since
 * any choice between them would be a guess. An external identity is the pair of issuer and subject.
 */

import { type JsonObject, member } from '../json.ts'
import { accountName, reservedAccounts } from './names.ts'
import type { IssuerOptions, MappingRule } from './options.ts'
import { deny, quoted } from './refusal.ts'

export interface MappingInput {
  readonly issuer: IssuerOptions
  readonly subject: string | undefined
  readonly payload: JsonObject
  /** As the token writes them; none beside capabilities. */
  readonly groups: readonly string[]
  /** The token is bounded by scopes, so the issuer's own account may stand in. */
  readonly hasCapabilities: boolean
}

export interface Mapped {
  readonly account: string
  /** Local groups joined by rule. */
  readonly joins: ReadonlySet<string>
  /** The other groups of the token as NAME@ISSUERNAME. */
  readonly groups: ReadonlySet<string>
  /** One sentence for each rule that spoke. */
  readonly explanation: readonly string[]
}

/** Throws `denied`: mapping-none when no rule speaks, mapping-ambiguous when rules disagree. */
export function mapToken(input: MappingInput, rules: readonly MappingRule[]): Mapped {
  const accounts = new Map<string, string>()
  const joined = new Map<string, string>()
  const explanation: string[] = []
  for (const [index, rule] of rules.entries()) {
    if (rule.issuer !== input.issuer.name) continue
    const line = `mapping rule ${index + 1}`
    if ('joins' in rule) {
      if (!input.groups.includes(rule.group)) continue
      explanation.push(`${line} counts group ${quoted(rule.group)} as ${rule.joins}`)
      joined.set(rule.joins, rule.group)
      continue
    }
    const account = accountOf(rule, input)
    if (account === undefined) continue
    explanation.push(`${line} maps to account ${account}`)
    if (!accounts.has(account)) accounts.set(account, line)
  }
  const account = choose(accounts, input)
  if (accounts.size === 0) explanation.push(`the scopes of issuer ${input.issuer.name} use its account ${account}`)
  const taken = new Set(joined.values())
  const prefix = input.issuer.groups?.prefix ?? ''
  const kept = input.groups.filter((group) => !taken.has(group))
  return {
    account,
    joins: new Set(joined.keys()),
    groups: new Set(kept.map((group) => `${prefix}${group}@${input.issuer.name}`)),
    explanation,
  }
}

function accountOf(rule: Exclude<MappingRule, { joins: string }>, input: MappingInput): string | undefined {
  if ('subject' in rule) return rule.subject === input.subject ? rule.account : undefined
  if ('group' in rule) return input.groups.includes(rule.group) ? rule.account : undefined
  const value = member(input.payload, rule.claim)
  // Both the value and what it makes must be account names, so that no value bends the template.
  if (typeof value !== 'string' || !accountName.test(value)) return undefined
  const account = rule.account.replace('{value}', () => value)
  return accountName.test(account) && !reservedAccounts.has(account) ? account : undefined
}

function choose(accounts: ReadonlyMap<string, string>, input: MappingInput): string {
  const [first, ...others] = accounts.keys()
  if (others.length > 0) {
    const answers = [...accounts].map(([account, line]) => `${line}: ${account}`).join(', ')
    throw deny('mapping-ambiguous', `mapping rules disagree about this token (${answers})`)
  }
  if (first !== undefined) return first
  const { name, account } = input.issuer
  if (input.hasCapabilities && account !== undefined) return account
  const subject = input.subject === undefined ? 'no subject' : `subject ${quoted(input.subject)}`
  throw deny('mapping-none', `no mapping rule speaks about ${subject} of issuer ${name}, its claims or its groups`)
}
