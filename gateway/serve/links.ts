/** From the configuration to the options of mapping rules and of linked identities. */

import type { AliseOptions, LinkOptions, MappingRule, TokenRule } from '../../acl/identity/options.ts'
import type { Config } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import type { State } from '../state/state.ts'
import { readText } from './files.ts'
import { readWord } from './making.ts'

/** The rules of the configuration have seen to it that it is complete. */
export function mappingRule(rule: Config['mapping'][number]): MappingRule {
  const { issuer, assurance, certificate, account } = rule
  if (certificate !== undefined && account !== undefined) return { certificate, account }
  const told = issuer === undefined ? undefined : tokenRule(rule)
  if (issuer === undefined || told === undefined) throw new StorageError('invalid', 'a mapping rule is not complete')
  return { issuer, ...told, ...(assurance && { assurance }) }
}

type Told<Rule> = Rule extends TokenRule ? Omit<Rule, 'issuer' | 'assurance'> : never

function tokenRule({
  subject,
  claim,
  match,
  group,
  entitlement,
  account,
  joins,
}: Config['mapping'][number]): Told<TokenRule> | undefined {
  if (joins !== undefined) {
    if (group !== undefined) return { group, joins }
    return entitlement === undefined ? undefined : { entitlement, joins }
  }
  if (account === undefined) return undefined
  if (subject !== undefined) return { subject, account }
  if (claim !== undefined) return { claim, account, ...(match !== undefined && { match }) }
  if (group !== undefined) return { group, account }
  return entitlement === undefined ? undefined : { entitlement, account }
}

export function linkOptions({ links }: Config, stores: Pick<State, 'links' | 'revocations'>): LinkOptions {
  const { issuers, lifetime } = links
  return { store: stores.links, revocations: stores.revocations, issuers, lifetime: lifetime / 1000 }
}

/** Reads the keys of the services. Throws `invalid` when one is missing or open to others. */
export function aliseOptions({ links }: Config): Promise<readonly AliseOptions[]> {
  return Promise.all(
    links.alise.map(async ({ apiKey, ca, ...same }) => {
      // The file is read at every question; one that is missing is told now.
      if (ca !== undefined) await readText(ca)
      return { ...same, apiKey: await readWord(apiKey), ...(ca !== undefined && { ca }) }
    }),
  )
}
