/** Accounts of a directory. */
import type { AccountSource, SourceState } from '../accounts.ts'
import type { LdapOptions } from './options.ts'

export interface LdapSettings {
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly report: (state: Omit<SourceState, 'name'>) => void
}

export function createLdapAccounts(_options: LdapOptions, _settings: LdapSettings): AccountSource {
  throw new Error('not here yet')
}
