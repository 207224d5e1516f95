/** What must hold between several keys of the configuration. */

import type { z } from 'zod'
import { groupEntry } from '../../acl/identity/administrators.ts'
import { accountName, groupName } from '../../acl/identity/names.ts'
import { hasStorageScope } from '../../backends/dcache/claims.ts'
import { isWithin, type Path } from '../core/path.ts'
import { certificateRules } from './client-certificates.ts'
import { identityRules } from './identity.ts'
import { kerberosRules } from './kerberos.ts'
import { linkRules } from './links.ts'
import { passwordRules } from './passwords.ts'
import type { BrokenRule, KeyPath } from './problems.ts'
import { s3Rules } from './s3.ts'
import type { schemaFor } from './schema.ts'
import { signInRules } from './sign-in.ts'
import { countGiven, isLoopback } from './values.ts'

type Parsed = z.output<ReturnType<typeof schemaFor>>

/** The doors' own area: no mount may lie in it. */
const reserved = '/.portolan' as Path

/** All rules that do not hold, in the order of the file's sections. */
export function brokenRules(config: Parsed): readonly BrokenRule[] {
  return [
    ...listening(config),
    ...administering(config),
    ...identityRules(config),
    ...signInRules(config),
    ...linkRules(config),
    ...kerberosRules(config),
    ...passwordRules(config),
    ...s3Rules(config),
    ...mounting(config),
    ...storing(config),
  ]
}

function* listening({ publicUrl, listen, s3, metrics, trustedProxies }: Parsed): Generator<BrokenRule> {
  if (publicUrl === undefined && !isLoopback(listen[0]?.address ?? '')) {
    yield { path: ['listen', 0, 'address'], text: 'with a first listener off loopback `publicUrl` is required' }
  }
  const seen = new Set<string>()
  const all = [...placed(['listen'], listen), ...placed(['s3', 'listen'], s3?.listen ?? [])]
  for (const { path, address, port, tls, insecure, proxyProtocol } of all) {
    if (!tls && !insecure && !isLoopback(address)) {
      yield { path: [...path, 'address'], text: 'plain HTTP off loopback needs `insecure: true`, or give it `tls`' }
    }
    if (proxyProtocol && trustedProxies.length === 0) {
      yield { path: [...path, 'proxyProtocol'], text: 'needs `trustedProxies` to say who may connect' }
    }
    const name = `${address} ${port}`
    if (port !== 0 && seen.has(name))
      yield { path: [...path, 'port'], text: 'another listener has this address and port' }
    seen.add(name)
  }
  yield* certificateRules(all, trustedProxies)
  if (metrics && !metrics.insecure && !isLoopback(metrics.address)) {
    yield { path: ['metrics', 'address'], text: 'metrics off loopback need `insecure: true`' }
  }
  if (metrics && metrics.port !== 0 && seen.has(`${metrics.address} ${metrics.port}`)) {
    yield { path: ['metrics', 'port'], text: 'a listener has this address and port' }
  }
}

function placed<Item>(path: KeyPath, items: readonly Item[]) {
  return items.map((item, index) => ({ ...item, path: [...path, index] }))
}

/** Names of another domain are nobody's here; groups of an issuer count when a mapping line has joined them to one of ours. */
function* administering({ administrators, domain }: Parsed): Generator<BrokenRule> {
  for (const [index, entry] of administrators.entries()) {
    const path = ['administrators', index]
    const isGroup = entry.startsWith(groupEntry)
    const [name = '', of] = entry.slice(isGroup ? groupEntry.length : 0).split('@')
    if (of !== domain) yield { path, text: `is not of \`domain\`: expected ${isGroup ? groupEntry : ''}NAME@${domain}` }
    else if (!(isGroup ? groupName : accountName).test(name)) {
      yield { path, text: `is no name of ${isGroup ? 'a group' : 'an account'}` }
    }
  }
}

function* mounting({ mounts }: Parsed): Generator<BrokenRule> {
  const seen = new Set<Path>()
  for (const [index, { path: at }] of mounts.entries()) {
    const path = ['mounts', index, 'path']
    if (seen.has(at)) yield { path, text: 'another mount has this path' }
    if (isWithin(at, reserved)) yield { path, text: `${reserved} belongs to the gateway` }
    seen.add(at)
  }
}

/** Grades that a back end knows. */
const grades = {
  posix: ['gateway', 'native'],
  gpfs: ['gateway', 'native'],
  dust: ['gateway', 'native'],
  dcache: ['delegated'],
  s3: ['gateway'],
} as const

function* storing({ mounts, issuers }: Parsed): Generator<BrokenRule> {
  for (const [index, { backend, enforce, recall, anonymous }] of mounts.entries()) {
    const path = ['mounts', index, 'backend']
    const known: readonly string[] = grades[backend.type]
    if (!known.includes(enforce)) {
      yield { path: ['mounts', index, 'enforce'], text: `is ${known.join(' or ')} for \`type: ${backend.type}\`` }
    }
    if (recall === 'on-read' && !(backend.type === 'dcache' && backend.frontend !== undefined)) {
      yield { path: ['mounts', index, 'recall'], text: 'needs storage with tape: `type: dcache` with `frontend`' }
    }
    if ('acl' in backend && backend.acl.length === 0 && enforce === 'gateway' && !isOverGpfs(backend)) {
      yield { path: [...path, 'acl'], text: 'without any the gateway can allow nothing' }
    }
    if (backend.type === 'gpfs' || backend.type === 'dust') yield* asking(backend, path)
    if (backend.type === 'dcache') yield* delegating(backend, issuers, anonymous, path)
    if (backend.type === 's3' && !isSafe(backend.endpoint)) yield { path: [...path, 'endpoint'], text: plainText }
  }
}

type BackendSection = Parsed['mounts'][number]['backend']
type ScaleSection = Extract<BackendSection, { type: 'gpfs' | 'dust' }>
type DcacheSection = Extract<BackendSection, { type: 'dcache' }>

const plainText = 'must be https off loopback'

function isSafe(address: string): boolean {
  const { protocol, hostname } = new URL(address)
  return protocol === 'https:' || hostname === 'localhost' || isLoopback(hostname.replace(/^\[|\]$/g, ''))
}

function isOverGpfs(backend: BackendSection): boolean {
  return backend.type === 'gpfs' || (backend.type === 'dust' && backend.over === 'gpfs')
}

function* asking(backend: ScaleSection, path: KeyPath): Generator<BrokenRule> {
  const { acls, information, fileSystem, mountPoint, root, rest, symlinks } = backend
  const direct = isOverGpfs(backend)
  const usesRest = information === 'rest' || (acls === 'rest' && direct)
  if (direct && fileSystem === undefined) yield { path, text: 'fileSystem is missing' }
  if (!direct && fileSystem === undefined && rest && information !== 'none') {
    yield { path, text: 'fileSystem is missing, which `rest` is asked about' }
  }
  if (usesRest && !rest) yield { path, text: 'rest is missing, which `acls` or `information` names' }
  if (rest && new URL(rest.url).protocol !== 'https:') yield { path: [...path, 'rest', 'url'], text: 'must be https' }
  if (usesRest && direct && mountPoint === undefined) {
    // Another directory's ACLs would be asked for where `root` lies deeper.
    yield { path, text: 'mountPoint is missing, below which the management API is told paths' }
  }
  if (mountPoint !== undefined && !isWithin(root as Path, mountPoint as Path)) {
    yield { path: [...path, 'mountPoint'], text: '`root` must lie at or below it' }
  }
  if (symlinks === 'within' && acls !== 'library' && direct) {
    yield { path: [...path, 'symlinks'], text: 'needs `acls: library`' }
  }
}

function* delegating(
  backend: DcacheSection,
  issuers: Parsed['issuers'],
  anonymous: boolean,
  path: KeyPath,
): Generator<BrokenRule> {
  for (const key of ['webdav', 'frontend'] as const) {
    const address = backend[key]
    if (address !== undefined && !isSafe(address)) yield { path: [...path, key], text: plainText }
  }
  const { accepts, events, exchange, frontend, service, otherwise } = backend
  if (frontend !== undefined && !/\/api\/v\d+\/?$/.test(new URL(frontend).pathname)) {
    yield { path: [...path, 'frontend'], text: 'must end in /api/v1' }
  }
  if (accepts.length === 0 && !exchange && otherwise === 'refuse' && !anonymous) {
    yield { path, text: 'serves nobody: expected `accepts`, `exchange` or `otherwise: service`' }
  }
  if (events && !(frontend !== undefined && service)) {
    yield { path: [...path, 'events'], text: 'needs `frontend` and `service`' }
  }
  yield* exchanging(backend, issuers, path)
  if (otherwise === 'service' && !service) yield { path, text: 'service is missing, which `otherwise` names' }
  if (!service) return
  const byName = countGiven(service.user, service.password)
  if (countGiven(service.token) + byName / 2 !== 1) {
    yield { path: [...path, 'service'], text: 'expected either token, or user and password' }
  }
}

function* exchanging(
  { accepts, exchange }: DcacheSection,
  issuers: Parsed['issuers'],
  path: KeyPath,
): Generator<BrokenRule> {
  const isKnown = (name: string) => issuers.some((issuer) => issuer.name === name)
  for (const [index, { issuer }] of accepts.entries()) {
    if (!isKnown(issuer)) yield { path: [...path, 'accepts', index, 'issuer'], text: noIssuer }
  }
  if (!exchange) return
  if (!isSafe(exchange.endpoint)) yield { path: [...path, 'exchange', 'endpoint'], text: plainText }
  for (const [index, name] of exchange.issuers.entries()) {
    if (!isKnown(name)) yield { path: [...path, 'exchange', 'issuers', index], text: noIssuer }
  }
  if (hasStorageScope(exchange.scope)) {
    yield { path: [...path, 'exchange', 'scope'], text: 'storage scopes make dCache skip its ACLs' }
  }
}

const noIssuer = 'is not the name of an issuer above'
