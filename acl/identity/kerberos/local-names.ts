/**
 * Which account a Kerberos principal stands for: a table of names, then the rules of auth_to_local as krb5.conf of MIT
 * Kerberos has them (krb5.conf, section [realms]). The first rule that is about a principal counts.
 *
 *     RULE:[n:string](expression)s/expression/text/g     DEFAULT
 */

import { StorageError } from '../../../gateway/core/errors.ts'
import { accountName, reservedAccounts } from '../names.ts'
import { deny, quoted } from '../refusal.ts'
import { compileExpression, type Expression } from './expression.ts'
import type { KerberosOptions } from './options.ts'

/** A principal, as HTTP/gw.desy.de@DESY.DE has two components. */
export interface KerberosName {
  /** As a whole. */
  readonly text: string
  readonly components: readonly string[]
  readonly realm: string
}

const maxLength = 255
/** Of what a rule looks at, and makes of it: its expressions take time by the square of that. */
const maxSelection = 256
/** Characters that Kerberos would have to escape are in no name here. */
const name = /^([\x21-\x7e]+)@([A-Za-z0-9][A-Za-z0-9._-]*)$/

/** Undefined for what is no principal with its realm, and for one with characters that no account could have. */
export function parseKerberosName(text: string): KerberosName | undefined {
  const [, front = '', realm = ''] = text.length > maxLength ? [] : (name.exec(text) ?? [])
  const components = front.split('/')
  if (realm === '' || /[@\\]/.test(front) || components.includes('')) return undefined
  return { text, components, realm }
}

/** What one line comes to; undefined: it is not about this principal. */
export type LocalRule = (name: KerberosName) => string | undefined

interface Change {
  readonly expression: Expression
  readonly text: string
  readonly all: boolean
}

/** Throws `invalid` with what is wrong with the line. `realm` is the one that `DEFAULT` is about. */
export function parseLocalRule(line: string, realm: string): LocalRule {
  if (line === 'DEFAULT') {
    return ({ components, realm: own }) => (own === realm && components.length === 1 ? components[0] : undefined)
  }
  const parts = /^RULE:(?:\[([0-9]):([^\]]*)\])?(?:\(([^)]*)\))?(.*)$/.exec(line)
  if (parts === null) throw wrong('expected DEFAULT or RULE:[n:string](expression)s/expression/text/')
  const [, count, string = '', condition, rest = ''] = parts
  const asked = count === undefined ? undefined : Number(count)
  for (const [, digit] of string.matchAll(/\$(.?)/g)) {
    if (digit === undefined || !/^[0-9]$/.test(digit)) throw wrong('a $ in [n:string] must be followed by a digit')
    if (Number(digit) > (asked ?? 0)) throw wrong(`$${digit} is more than the components that [n:string] asks for`)
  }
  const whole = condition === undefined ? undefined : compileExpression(condition)
  const changes = changesOf(rest)
  return (principal) => {
    const { components, realm: own } = principal
    if (asked !== undefined && components.length !== asked) return undefined
    const fill = (_all: string, digit: string) => (digit === '0' ? own : (components[Number(digit) - 1] ?? ''))
    const selected = asked === undefined ? components.join('/') : string.replace(/\$([0-9])/g, fill)
    if (selected.length > maxSelection || whole?.matchesWhole(selected) === false) return undefined
    let text = selected
    for (const { expression, text: by, all } of changes) {
      text = expression.replace(text, by, all)
      if (text.length > maxSelection) return undefined
    }
    return text
  }
}

/** Whether the line looks at principals of all realms alike: only where there is no more than one. */
export function ignoresRealm(line: string): boolean {
  return line.startsWith('RULE:') && !/^RULE:\[[0-9]:[^\]]*\$0/.test(line)
}

function changesOf(text: string): readonly Change[] {
  const changes: Change[] = []
  const grammar = /\s*s\/([^/]*)\/([^/]*)\/(g?)/y
  while (grammar.lastIndex < text.length) {
    const [, pattern, by = '', flag] = grammar.exec(text) ?? []
    if (pattern === undefined) throw wrong('what follows the condition is no s/expression/text/ or s/expression/text/g')
    changes.push({ expression: compileExpression(pattern), text: by, all: flag === 'g' })
  }
  return changes
}

export class LocalNames {
  readonly #options: Pick<KerberosOptions, 'realm' | 'realms'>
  readonly #names: ReadonlyMap<string, string>
  readonly #rules: ReadonlyArray<{ readonly line: string; readonly rule: LocalRule }>

  /** Throws `invalid` for a rule that is none. */
  constructor(options: Pick<KerberosOptions, 'realm' | 'realms' | 'names' | 'rules'>) {
    this.#options = options
    this.#names = new Map(options.names.map(({ principal, account }) => [principal, account]))
    this.#rules = options.rules.map((line) => ({ line, rule: parseLocalRule(line, options.realm) }))
  }

  /**
   * The account's name, and by which line. Throws `denied`: kerberos-realm for a principal of a realm that is not let in,
   * mapping-none where no line is about it, or one makes no name of an account out of it.
   */
  accountOf(principal: KerberosName): { readonly account: string; readonly text: string } {
    const { text, realm } = principal
    if (realm !== this.#options.realm && !this.#options.realms.includes(realm)) {
      throw deny('kerberos-realm', `principals of realm ${realm} are not let in`)
    }
    const named = this.#names.get(text)
    if (named !== undefined) return checked(named, `the table of names says that ${text} is ${named}`)
    for (const [index, { line, rule }] of this.#rules.entries()) {
      const account = rule(principal)
      if (account !== undefined)
        return checked(account, `rule ${index + 1} (${line}) makes ${quoted(account)} of ${text}`)
    }
    throw deny('mapping-none', `no rule of Kerberos is about ${text}`)
  }
}

function checked(account: string, text: string) {
  if (accountName.test(account) && !reservedAccounts.has(account)) return { account, text }
  throw deny('mapping-none', `${text}, which may be no account`)
}

function wrong(text: string): StorageError {
  return new StorageError('invalid', text)
}
