/** What `portolan check` asks of identity: issuers, and the accounts that the configuration names. */

import type { Finding } from '../../backends/backend.ts'
import { explainFailure } from './bearer.ts'
import type { IdentityState } from './state.ts'

/** Asks all issuers for their keys, and all account sources for the accounts that the configuration names. */
export async function checkIssuers(state: IdentityState): Promise<readonly Finding[]> {
  const { issuers, options, accounts, introspection, linked } = state
  const keys = await Promise.all([...issuers.values()].map((issuer) => issuer.keys.check()))
  keys.push(await introspection.check(), await linked.check())
  const names = new Set(options.issuers.flatMap(({ account }) => account ?? []))
  for (const rule of options.mapping) if ('account' in rule && !('claim' in rule)) names.add(rule.account)
  const findings = keys.flat()
  for (const name of names) {
    try {
      await accounts.find(name)
    } catch (error) {
      findings.push({ subject: 'account', level: 'error', text: `account ${name}: ${explainFailure(error).text}` })
    }
  }
  return findings
}
