/** The three ways in which directories write down people and groups, and the filters that find them. */

import { AndFilter, EqualityFilter, ExtensibleFilter, type Filter, FilterParser, OrFilter } from 'ldapts'
import type { LdapOptions, LdapSchemaName } from './options.ts'

export interface LdapSchema {
  readonly kind: LdapSchemaName
  readonly user: { readonly name: string; readonly uid: string; readonly gid: string; readonly mail: string }
  readonly group: { readonly name: string; readonly gid: string; readonly member: string }
  /** What is asked for of a person, and of a group without its members. */
  readonly userAttributes: readonly string[]
  readonly groupAttributes: readonly string[]
  /** Names are written in lower case, as Active Directory keeps them in any case. */
  readonly lowerCase: boolean
  users(...more: readonly Filter[]): Filter
  groups(...more: readonly Filter[]): Filter
}

interface Preset {
  readonly userClass: string
  readonly groupClass: string
  readonly user: LdapSchema['user']
  readonly group: LdapSchema['group']
  /** Read where they are there: whether the account is in use, and what else names its groups. */
  readonly more: readonly string[]
}

const posixUser = { name: 'uid', uid: 'uidNumber', gid: 'gidNumber', mail: 'mail' }
const generic = ['shadowExpire', 'nsAccountLock', 'pwdAccountLockedTime']

const presets: Readonly<Record<LdapSchemaName, Preset>> = {
  rfc2307: {
    userClass: 'posixAccount',
    groupClass: 'posixGroup',
    user: posixUser,
    group: { name: 'cn', gid: 'gidNumber', member: 'memberUid' },
    more: generic,
  },
  rfc2307bis: {
    userClass: 'posixAccount',
    groupClass: 'posixGroup',
    user: posixUser,
    group: { name: 'cn', gid: 'gidNumber', member: 'member' },
    more: generic,
  },
  ad: {
    userClass: 'user',
    groupClass: 'group',
    user: { ...posixUser, name: 'sAMAccountName' },
    group: { name: 'sAMAccountName', gid: 'gidNumber', member: 'member' },
    more: ['userAccountControl', 'accountExpires', 'primaryGroupID', 'objectSid'],
  },
}

/** LDAP_MATCHING_RULE_IN_CHAIN of Active Directory: members of members too ([MS-ADTS], section 3.1.1.3.4.4.3). */
const inChain = '1.2.840.113556.1.4.1941'

/** Throws what the parser of filters throws; `checkLdapOptions` has seen to it that it does not. */
export function schemaOf({ schema: kind, users, groups }: LdapOptions): LdapSchema {
  const preset = presets[kind]
  const user = { ...preset.user, ...users.attributes }
  const group = { ...preset.group, ...groups.attributes }
  const own = (place: LdapOptions['users' | 'groups'], usual: string): readonly Filter[] => [
    equals('objectClass', place.objectClass ?? usual),
    ...(place.filter === undefined ? [] : [FilterParser.parseString(place.filter)]),
  ]
  const userFilters = own(users, preset.userClass)
  const groupFilters = own(groups, preset.groupClass)
  return {
    kind,
    user,
    group,
    userAttributes: [user.name, user.uid, user.gid, user.mail, ...preset.more],
    groupAttributes: [group.name, group.gid, ...(kind === 'ad' ? ['objectSid'] : [])],
    lowerCase: kind === 'ad',
    users: (...more) => new AndFilter({ filters: [...userFilters, ...more] }),
    groups: (...more) => new AndFilter({ filters: [...groupFilters, ...more] }),
  }
}

/** The value goes into the request as it is: there is no text in which it could become syntax. */
export function equals(attribute: string, value: string | Buffer): Filter {
  return new EqualityFilter({ attribute, value })
}

export function anyOf(filters: readonly Filter[]): Filter {
  return new OrFilter({ filters: [...filters] })
}

/** Groups of which `dn` is a member, directly or through others. */
export function memberInChain(attribute: string, dn: string): Filter {
  return new ExtensibleFilter({ matchType: attribute, rule: inChain, value: dn })
}
