/** A source of accounts over a directory of a test. */

import type { Test } from 'tap'
import type { AccountSource, SourceState } from '../../acl/identity/accounts.ts'
import type { LdapOptions } from '../../acl/identity/ldap/options.ts'
import { createLdapAccounts } from '../../acl/identity/ldap/source.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { bisBase, labBase, reader } from '../peers/slapd.ts'

export interface World {
  readonly source: Required<AccountSource>
  /** What it reported. */
  readonly told: Omit<SourceState, 'name'>[]
  /** Milliseconds since 1970, as it sees them. */
  readonly clock: { now: number }
}

export function optionsFor(kind: 'rfc2307' | 'rfc2307bis', change: Partial<LdapOptions>): LdapOptions {
  const base = kind === 'rfc2307' ? labBase : bisBase
  return {
    servers: [],
    startTls: false,
    bind: { dn: reader.dn(base), password: new Secret(reader.password) },
    schema: kind,
    users: { base: `ou=people,${base}` },
    groups: { base: `ou=groups,${base}` },
    depth: 4,
    connectDeadline: 5000,
    deadline: 5000,
    waitDeadline: 5000,
    connections: 4,
    found: 300_000,
    missing: 30_000,
    stale: 3_600_000,
    minUid: 1000,
    minGid: 1000,
    ...change,
  }
}

/** Closed with the test. */
export function worldOf(t: Test, options: LdapOptions, retry = { least: 1, most: 1 }): World {
  const told: Omit<SourceState, 'name'>[] = []
  const clock = { now: Date.now() }
  const source = createLdapAccounts(options, { now: () => clock.now, report: (state) => told.push(state), retry })
  t.teardown(() => source.close?.())
  return { source: source as Required<AccountSource>, told, clock }
}

/** `code rule: text` of what a promise is refused with, or what it gives. */
export async function outcome(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work
  } catch (thrown) {
    const error = StorageError.from(thrown)
    const reason = StorageError.reasonOf(error)
    return `${error.code} ${reason?.rule}: ${reason?.text}`
  }
}
