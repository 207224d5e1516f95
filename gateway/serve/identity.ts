/** From the configuration to the options of identity. */

import type {
  AccountSourceOptions,
  IdentityOptions,
  IssuerOptions,
  KeySourceOptions,
  MappingRule,
  Revocations,
} from '../../acl/identity/options.ts'
import type { Config, IssuerConfig } from '../config.ts'
import type { SecretStore } from '../state/secrets.ts'
import type { State } from '../state/state.ts'
import { readText } from './files.ts'
import { kerberosOptions } from './kerberos.ts'
import { ldapOptions } from './ldap.ts'
import { aliseOptions, linkOptions, mappingRule } from './links.ts'
import { readWord } from './making.ts'
import { passwordOptions } from './passwords.ts'
import { type SignInStores, signInOptions } from './sign-in.ts'

/** What identity keeps in the state store. */
export interface IdentityMeans {
  readonly revocations: Revocations
  readonly stores: Pick<State, 'revocations' | 'shares' | 's3Keys' | 'links'> & SignInStores
  /** Undefined without a master key: then no macaroons are made. */
  readonly secrets: SecretStore | undefined
  /** Where it is told that a directory of accounts no longer answers. */
  readonly report?: NonNullable<IdentityOptions['report']>
}

/** Reads the certificates that issuers name. Without `means` nothing is revoked and no macaroon accepted. Throws `invalid` for what is missing or does not fit together. */
export async function identityOptions(config: Config, means?: IdentityMeans): Promise<IdentityOptions> {
  const kerberos = means && kerberosOptions(config)
  return {
    domain: config.domain,
    issuers: await Promise.all(config.issuers.map(issuerOptions)),
    mapping: config.mapping.map((rule, index) => withLine(mappingRule(rule), config.mappingLines[index])),
    accounts: await Promise.all(config.accounts.map(accountSource)),
    minUid: config.minUid,
    administrators: config.administrators,
    passwords: passwordOptions(config, kerberosOptions(config)),
    ...(kerberos && { kerberos }),
    ...(means && derived(config, means)),
    ...(means?.report && { report: means.report }),
    ...(means && { signIn: await signInOptions(config, means.stores), links: linkOptions(config, means.stores) }),
    alise: await aliseOptions(config),
  }
}

function withLine(rule: MappingRule, line: number | undefined): MappingRule {
  return line === undefined ? rule : { ...rule, line }
}

function derived(
  { macaroons, appPasswords, publicUrl = 'portolan' }: Config,
  { secrets, revocations, stores }: IdentityMeans,
) {
  const bans = stores.revocations
  if (!secrets) return { revocations, bans }
  const { lifetime, maxLifetime, maxShareLifetime } = macaroons
  const lives = {
    defaultLifetime: lifetime / 1000,
    maxLifetime: maxLifetime / 1000,
    maxShareLifetime: maxShareLifetime / 1000,
  }
  const { shares, s3Keys: keys } = stores
  return {
    revocations,
    bans,
    macaroons: { ...lives, revocations: bans, shares, secrets, location: publicUrl },
    // Like application passwords they are for programs, and last as long.
    s3: {
      ...{ keys, secrets, revocations: bans },
      lifetime: appPasswords.lifetime / 1000,
      maxLifetime: appPasswords.maxLifetime / 1000,
    },
  }
}

async function issuerOptions(issuer: IssuerConfig): Promise<IssuerOptions> {
  const { keys, ca, leeway, maxLifetime, introspection, ...same } = issuer
  // The file is read at every fetch; one that is missing is told now.
  if (ca !== undefined) await readText(ca)
  return {
    ...same,
    keys: keySource(keys),
    ...(ca !== undefined && { ca }),
    ...(leeway !== undefined && { leeway: leeway / 1000 }),
    ...(maxLifetime !== undefined && { maxLifetime: maxLifetime / 1000 }),
    ...(introspection && {
      introspection: {
        ...introspection,
        clientSecret: await readWord(introspection.clientSecret),
        remember: introspection.remember / 1000,
      },
    }),
  }
}

// The rules of the configuration have seen to it that exactly one is given.
function keySource({ origins, jwksUrl, jwksFile }: IssuerConfig['keys']): KeySourceOptions {
  if (jwksFile !== undefined) return { jwksFile }
  if (jwksUrl !== undefined) return { jwksUrl }
  return { discovery: true, ...(origins && { origins }) }
}

async function accountSource({ file, getent, ldap }: Config['accounts'][number]): Promise<AccountSourceOptions> {
  if (file !== undefined) return { file }
  if (ldap) return { ldap: await ldapOptions(ldap) }
  return { system: true, ...(getent !== undefined && { getent }) }
}
