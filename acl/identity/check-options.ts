/** The checks of identity's options that need more than one line of the configuration. */

import { StorageError } from '../../gateway/core/errors.ts'
import { checkMapping, requireSubjects } from './check-mapping.ts'
import { checkLdap } from './ldap/check.ts'
import { accountName } from './names.ts'
import { algorithms, type IdentityOptions, type IssuerOptions } from './options.ts'

/** Throws `invalid` and names the line when two lines do not fit together; a quiet mistake here would open doors. */
export function checkOptions(options: IdentityOptions): void {
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(options.domain)) throw wrong('domain is not a domain name')
  if (!Number.isSafeInteger(options.minUid) || options.minUid < 1) throw wrong('minUid must be at least 1')
  const names = new Set<string>([options.domain])
  const urls = new Set<string>()
  for (const [index, issuer] of options.issuers.entries()) {
    const where = `issuers[${index}]`
    if (!/^[a-z0-9][a-z0-9_.-]{0,62}$/.test(issuer.name)) throw wrong(`${where}.name must be of a-z, 0-9, _ . -`)
    // A token group g@NAME must never read as the local group g@DOMAIN or as another issuer's.
    if (names.has(issuer.name)) throw wrong(`${where}.name is taken by another issuer or is the domain`)
    if (urls.has(issuer.issuer)) throw wrong(`${where}.issuer is there twice`)
    names.add(issuer.name)
    urls.add(issuer.issuer)
    checkIssuer(issuer, where)
  }
  for (const [index, source] of options.accounts.entries()) {
    if ('ldap' in source) checkLdap(source.ldap, `accounts[${index}].ldap`)
  }
  checkMapping(options)
  checkLogin(options)
  checkLinks(options)
}

function checkLogin({ issuers, signIn }: IdentityOptions): void {
  for (const [index, { name, scopes }] of (signIn?.issuers ?? []).entries()) {
    const where = `login.issuers[${index}]`
    const issuer = issuers.find((candidate) => candidate.name === name)
    if (issuer === undefined) throw wrong(`${where} is not the name of an issuer`)
    if (issuer.profile === 'scitokens') throw wrong(`${where}: SciTokens name nobody who could sign in`)
    if (!mayFetch(issuer.issuer, issuer)) {
      throw wrong(`${where}: only at https addresses people sign in (with insecure: true also http on loopback)`)
    }
    if (!scopes.includes('openid')) throw wrong(`${where}.scopes must hold openid`)
  }
}

function checkLinks({ issuers, links, signIn, alise: services = [] }: IdentityOptions): void {
  for (const [index, name] of (links?.issuers ?? []).entries()) {
    const isThere = signIn?.issuers.some((each) => each.name === name) === true
    if (!isThere) throw wrong(`links.issuers[${index}] is not an issuer at which people sign in`)
  }
  for (const [index, alise] of services.entries()) {
    const where = `links.alise[${index}]`
    if (!mayFetch(alise.url, alise))
      throw wrong(`${where}.url must be https (with insecure: true also http on loopback)`)
    for (const name of alise.issuers) requireSubjects(issuers, name, `${where}.issuers`)
  }
}

function checkIssuer(issuer: IssuerOptions, where: string): void {
  if (issuer.issuer === '') throw wrong(`${where}.issuer is empty`)
  if (issuer.audiences.length === 0) throw wrong(`${where}.audiences must name at least one audience`)
  // The SciTokens profile forbids a server to call itself ANY.
  if (issuer.audiences.includes('ANY')) throw wrong(`${where}.audiences may not hold ANY`)
  if (issuer.algorithms?.length === 0) throw wrong(`${where}.algorithms is empty`)
  for (const name of issuer.algorithms ?? []) {
    if (!algorithms.includes(name)) throw wrong(`${where}.algorithms holds one that is not accepted`)
  }
  if (issuer.profile !== 'plain') {
    if (issuer.account === undefined) throw wrong(`${where}.account is required for tokens with scopes`)
    if (issuer.basePath === undefined) throw wrong(`${where}.basePath is required for tokens with scopes`)
  }
  if (issuer.account !== undefined && !accountName.test(issuer.account))
    throw wrong(`${where}.account is no account name`)
  if (!(issuer.leeway === undefined || (issuer.leeway >= 0 && issuer.leeway <= 600))) {
    throw wrong(`${where}.leeway must lie between 0 and 600 seconds`)
  }
  if (!(issuer.maxLifetime === undefined || issuer.maxLifetime > 0))
    throw wrong(`${where}.maxLifetime must be positive`)
  checkKeySource(issuer, where)
  checkIntrospection(issuer, where)
}

function checkIntrospection(issuer: IssuerOptions, where: string): void {
  const { introspection, profile } = issuer
  if (introspection === undefined) return
  if (profile === 'scitokens')
    throw wrong(`${where}.introspection: SciTokens are signed, and nobody is asked about them`)
  const { endpoint, userInfo, origins, remember } = introspection
  const named = endpoint === undefined ? [] : [endpoint]
  const read = endpoint === undefined || userInfo ? [issuer.issuer] : []
  // Our client's secret goes there, and other people's tokens.
  for (const address of [...named, ...read, ...origins]) {
    if (!mayFetch(address, issuer)) {
      throw wrong(`${where}.introspection: only https addresses are asked (with insecure: true also http on loopback)`)
    }
  }
  if (!(remember > 0 && remember <= 300)) throw wrong(`${where}.introspection.remember must be at most 300 seconds`)
}

function checkKeySource(issuer: IssuerOptions, where: string): void {
  if ('jwksFile' in issuer.keys) return
  const fetched = 'jwksUrl' in issuer.keys ? [issuer.keys.jwksUrl] : [issuer.issuer, ...(issuer.keys.origins ?? [])]
  for (const address of fetched) {
    if (!mayFetch(address, issuer)) {
      throw wrong(`${where}.keys: only https addresses are fetched (with insecure: true also http on loopback)`)
    }
  }
}

/** Whether the keys of `issuer` may be fetched from this address by its scheme and host. */
export function mayFetch(address: string, issuer: Pick<IssuerOptions, 'insecure'>): boolean {
  const url = URL.parse(address)
  if (url === null || url.username !== '' || url.password !== '') return false
  if (url.protocol === 'https:') return true
  const isLoopback = url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(\.\d+){3}$/.test(url.hostname)
  return url.protocol === 'http:' && issuer.insecure === true && isLoopback
}

function wrong(text: string): StorageError {
  return new StorageError('invalid', `identity: ${text}`)
}
