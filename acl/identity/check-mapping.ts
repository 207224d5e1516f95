/** The checks of mapping rules: a line that can never speak, or speaks for somebody else, is a mistake. */

import { StorageError } from '../../gateway/core/errors.ts'
import { canonicalName } from './distinguished-names.ts'
import { namespaceOf, parseEntitlement } from './entitlements.ts'
import { accountName, groupName } from './names.ts'
import type { CertificateRule, IdentityOptions, IssuerOptions, TokenRule } from './options.ts'

/** Throws `invalid` and names the line. */
export function checkMapping({ mapping, issuers }: IdentityOptions): void {
  for (const [index, issuer] of issuers.entries()) checkNames(issuer, `issuers[${index}]`)
  for (const [index, rule] of mapping.entries()) {
    const where = `mapping[${index}]`
    if ('certificate' in rule) checkCertificateRule(rule, where)
    else checkTokenRule(rule, issuers, where)
  }
}

function checkNames({ entitlements, domains }: IssuerOptions, where: string): void {
  for (const namespace of entitlements?.namespaces ?? []) {
    if (namespaceOf(namespace) === undefined) throw wrong(`${where}.entitlements.namespaces holds no such namespace`)
  }
  for (const domain of domains ?? []) {
    if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(domain)) throw wrong(`${where}.domains holds no domain name`)
  }
}

function checkTokenRule(rule: TokenRule, issuers: readonly IssuerOptions[], where: string): void {
  const issuer = issuers.find(({ name }) => name === rule.issuer)
  if (issuer === undefined) throw wrong(`${where}.issuer is not the name of an issuer`)
  if ('subject' in rule || ('claim' in rule && rule.claim === 'sub')) requireSubjects(issuers, rule.issuer, where)
  if ('entitlement' in rule) {
    const required = parseEntitlement(rule.entitlement)
    if (required === undefined) throw wrong(`${where}.entitlement is none`)
    const isOwn = issuer.entitlements?.namespaces.some((each) => namespaceOf(each) === required.namespace) === true
    if (!isOwn) throw wrong(`${where}.entitlement is of a namespace that is not among the issuer's`)
  }
  if ('joins' in rule) {
    if (!groupName.test(rule.joins)) throw wrong(`${where}.joins is no group name`)
    return
  }
  if ('claim' in rule && rule.match !== undefined && !issuer.domains?.some((domain) => rule.match === `@${domain}`)) {
    throw wrong(`${where}.match is not @ and one of the issuer's domains`)
  }
  checkAccount(rule.account, 'claim' in rule, where)
}

function checkCertificateRule({ certificate, account }: CertificateRule, where: string): void {
  if (canonicalName(certificate) === undefined) throw wrong(`${where}.certificate is no name of a certificate`)
  checkAccount(account, false, where)
}

function checkAccount(account: string, isTemplate: boolean, where: string): void {
  if (isTemplate && account.split('{value}').length !== 2) throw wrong(`${where}.account must hold {value} once`)
  if (!accountName.test(isTemplate ? account.replace('{value}', 'a') : account)) {
    throw wrong(`${where}.account is no account name`)
  }
}

/** The subject of a SciToken names nobody (SciTokens claims, `sub`). Throws `invalid` for an issuer of these, and for none. */
export function requireSubjects(issuers: readonly IssuerOptions[], name: string, where: string): void {
  const issuer = issuers.find((each) => each.name === name)
  if (issuer === undefined) throw wrong(`${where} names no issuer`)
  if (issuer.profile === 'scitokens') throw wrong(`${where}: the subject of a SciToken may not be mapped to an account`)
}

function wrong(text: string): StorageError {
  return new StorageError('invalid', `identity: ${text}`)
}
