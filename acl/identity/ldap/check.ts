/** What the lines about one directory must keep to, whoever wrote them. */

import { FilterParser } from 'ldapts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { isDn } from './dn.ts'
import type { LdapOptions } from './options.ts'
import { isLocal, parseServer } from './socket.ts'

export interface LdapProblem {
  /** Below the section of the directory. */
  readonly path: readonly (string | number)[]
  readonly text: string
}

type Checked = Pick<LdapOptions, 'servers' | 'startTls' | 'schema'> & {
  readonly bind?: { readonly dn: string } | undefined
  readonly users: { readonly base: string; readonly filter?: string | undefined }
  readonly groups: { readonly base: string; readonly filter?: string | undefined }
}

/** Empty when all is well; a mistake here would send passwords in the clear or ask for other entries than was meant. */
export function* ldapProblems(options: Checked): Generator<LdapProblem> {
  if (options.servers.length === 0) yield { path: ['servers'], text: 'expected at least one server' }
  for (const [index, url] of options.servers.entries()) {
    const path = ['servers', index]
    const address = parseServer(url, options.startTls)
    if (address === undefined)
      yield { path, text: 'expected an address such as ldaps://ldap.example.org, without a path' }
    else if (address.tls === 'none' && !isLocal(address)) {
      yield { path, text: 'would be asked in the clear; write ldaps://, or set startTls: true' }
    }
  }
  if (options.bind && !isDn(options.bind.dn))
    yield { path: ['bind', 'dn'], text: 'expected a DN such as cn=reader,dc=example,dc=org' }
  for (const place of ['users', 'groups'] as const) {
    const { base, filter } = options[place]
    if (!isDn(base)) yield { path: [place, 'base'], text: 'expected a DN such as ou=people,dc=example,dc=org' }
    if (filter !== undefined && !isFilter(filter)) {
      yield { path: [place, 'filter'], text: 'expected a filter such as (employeeType=staff)' }
    }
  }
}

function isFilter(text: string): boolean {
  if (!text.startsWith('(') || text.length > 4096) return false
  try {
    FilterParser.parseString(text)
    return true
  } catch {
    // Its message quotes what we say in our own words.
    return false
  }
}

/** Throws `invalid` for the first of the problems. `where` names the section. */
export function checkLdap(options: LdapOptions, where: string): void {
  for (const { path, text } of ldapProblems(options)) {
    throw new StorageError('invalid', `identity: ${where}.${path.join('.')}: ${text}`)
  }
  // With an empty password the gateway would be nobody, and the server would say that all is well.
  if (options.bind?.password.reveal() === '')
    throw new StorageError('invalid', `identity: ${where}.bind.password is empty`)
}
