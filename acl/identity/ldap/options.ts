/** What the configuration says about one directory. */

import type { Secret } from '../../secret.ts'

/** How people and groups are written down: RFC 2307, its successor draft (members are DNs), or Active Directory. */
export type LdapSchemaName = 'rfc2307' | 'rfc2307bis' | 'ad'

/** Names of attributes, where they are not those of the schema. */
export interface UserAttributes {
  readonly name?: string
  readonly uid?: string
  readonly gid?: string
  readonly mail?: string
}

export interface GroupAttributes {
  readonly name?: string
  readonly gid?: string
  /** Login names in `rfc2307`, DNs in the others. */
  readonly member?: string
}

/** Where entries are looked for. */
interface Place {
  /** DN below which they lie. */
  readonly base: string
  /** Only entries with this class; the schema's if absent. */
  readonly objectClass?: string
  /** RFC 4515; holds in addition. */
  readonly filter?: string
}

/** Times in milliseconds. */
export interface LdapOptions {
  /** `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`; the first that answers is asked. */
  readonly servers: readonly string[]
  /** For ldap:// servers: nothing is said before TLS is up. Required but for loopback addresses. */
  readonly startTls: boolean
  /** File of PEM certificates trusted instead of the system's; read for each connection. */
  readonly ca?: string
  /** Who asks; anonymously if absent. */
  readonly bind?: { readonly dn: string; readonly password: Secret }
  readonly schema: LdapSchemaName
  readonly users: Place & { readonly attributes?: UserAttributes }
  readonly groups: Place & { readonly attributes?: GroupAttributes }
  /** How many groups lie between a person and the outermost group that counts; 0: only groups that name him. */
  readonly depth: number
  /** For a connection to be made, TLS and all. */
  readonly connectDeadline: number
  /** For the answer to one request. */
  readonly deadline: number
  /** For a connection to become free. */
  readonly waitDeadline: number
  /** Connections at once to one server. */
  readonly connections: number
  /** An account that was found is believed this long. */
  readonly found: number
  /** As long nobody asks again for one that was not. */
  readonly missing: number
  /** While no server answers, those that were known work on for this long after they were last seen. */
  readonly stale: number
  /** Accounts and groups with smaller ids are refused, and so are accounts in such groups. */
  readonly minUid: number
  readonly minGid: number
}
