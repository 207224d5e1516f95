/** Directories of accounts: from the configuration to their options, and what the log and the metrics tell of them. */

import { Gauge, type Registry } from 'prom-client'
import type { Identity } from '../../acl/identity/identity.ts'
import type { LdapOptions } from '../../acl/identity/ldap/options.ts'
import type { IdentityOptions } from '../../acl/identity/options.ts'
import type { Config } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import { readText } from './files.ts'
import type { Logger } from './log.ts'
import { readWord } from './making.ts'

type LdapConfig = NonNullable<Config['accounts'][number]['ldap']>

/** Throws `invalid` for a file that is not there or a secret that others can read. */
export async function ldapOptions(config: LdapConfig): Promise<LdapOptions> {
  const { deadlines, lifetimes, bind, ca, ...same } = config
  // The file is read for each connection; one that is missing is told now.
  if (ca !== undefined) await readText(ca)
  const password = bind && (await readWord(bind.password))
  if (password?.reveal() === '') throw new StorageError('invalid', 'the password of `ldap.bind` is empty')
  return {
    ...same,
    ...lifetimes,
    connectDeadline: deadlines.connect,
    deadline: deadlines.answer,
    waitDeadline: deadlines.wait,
    ...(ca !== undefined && { ca }),
    ...(bind && password && { bind: { dn: bind.dn, password } }),
  }
}

/** What is opened by name while the gateway runs. */
export function filesOfLdap({ ca, bind }: LdapConfig): readonly string[] {
  const secret = bind && 'file' in bind.password ? [bind.password.file] : []
  return [...(ca === undefined ? [] : [ca]), ...secret]
}

/** One line when a directory or one of its servers no longer answers, and one when it does again. */
export function reportTo(log: Logger): NonNullable<IdentityOptions['report']> {
  return ({ name, available, text }) => {
    if (available) log.info({ source: name, servers: text }, 'servers of accounts have changed')
    else
      log.error({ source: name, servers: text }, 'accounts cannot be looked up; those known before work on for a while')
  }
}

/** For the process's metrics: whether each directory answers. */
export function showSources(registry: Registry, identity: Pick<Identity, 'sources'>): void {
  new Gauge({
    name: 'portolan_accounts_available',
    help: 'Whether a directory of accounts answers',
    labelNames: ['source'],
    registers: [registry],
    // One worker that cannot reach it counts.
    aggregator: 'min',
    collect() {
      this.reset()
      for (const { name, available } of identity.sources?.() ?? []) this.set({ source: name }, available ? 1 : 0)
    },
  })
}
