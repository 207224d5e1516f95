/** What `portolan check` asks of identity: issuers, account sources, and the accounts that the configuration names. */

import type { Finding } from '../../backends/backend.ts'
import type { Accounts } from './accounts.ts'
import { groupEntry } from './administrators.ts'
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

/** Tries everything that account sources stand on, and looks up who is to be an administrator. */
export async function checkAccounts({ accounts, options }: IdentityState): Promise<readonly Finding[]> {
  const found: Finding[] = [...(await accounts.check())]
  for (const entry of options.administrators) {
    const problem = await missing(entry, accounts)
    if (problem === undefined) continue
    found.push({ subject: 'administrators', level: 'warning', text: `${entry} is nobody yet: ${problem}` })
  }
  return found
}

async function missing(entry: string, accounts: Accounts): Promise<string | undefined> {
  const isGroup = entry.startsWith(groupEntry)
  const [name = ''] = entry.slice(isGroup ? groupEntry.length : 0).split('@')
  try {
    if (!isGroup) await accounts.find(name)
    else if ((await accounts.findGroup(name)) === undefined) return `no account source knows a group ${name}`
    return undefined
  } catch (error) {
    return explainFailure(error).text
  }
}
