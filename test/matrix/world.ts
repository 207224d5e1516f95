/** The gateway of the matrix, its tree, and who comes to it with what. */

import { chownSync, closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { fsetxattr } from '../../backends/posix/native/sys.ts'
import { accessKeyOf } from '../gateway/access-keys.ts'
import { startTestGateway, type TestGateway, type TestMount } from '../gateway/harness.ts'
import { asRoot, domain, groups, named, password, service, type UserName, users } from '../gateway/people.ts'
import { everything, Guarded, look } from '../gateway/tree.ts'
import { reader } from '../peers/slapd.ts'
import type { SigningKey } from '../s3-door/signing.ts'
import { type AclCase, aclCases } from './acls.ts'
import { type Attempt, type MatrixDoor, type MatrixIdentity, type OtherWay, waysOf } from './doors.ts'
import { deadProperty } from './http-doors.ts'
import type { Bound, Caller, Place, Guarded as Seen } from './oracle.ts'
import type { Tickets } from './tickets.ts'

/** Servers beside the gateway, as far as there are any. */
export interface Means {
  /** Or why there are none. */
  readonly tickets: Tickets | string
  /** The section `ldap` of an account source that knows erin, of the group p01. */
  readonly directory?: Readonly<Record<string, unknown>> | undefined
}

export const staffIssuer = 'https://staff.lab.example'
/** Known to the gateway besides those of every test. */
export const dora = { uid: 64_814, gid: 64_814 }
const free = [`A::EVERYONE@:${everything}`]
const top = [`A::OWNER@:${everything}`, `A::EVERYONE@:${look}`]

/** Each has a part of the namespace of its own, so that nobody takes away what another one needs. */
export const identityNames = [
  'owner',
  'person',
  'reader',
  'maker',
  'changer',
  'stranger',
  'member',
  'macaroon',
  'handed-on',
  'access-key',
  'ticket',
  'password',
  'administrator',
  'anonymous',
] as const
export type IdentityName = (typeof identityNames)[number]

/** Where an object of an attempt lies. Doors that only tell share theirs. */
export function nameOf(door: MatrixDoor, { name, attempt }: OtherWay): string {
  return door.changesNothing ? `asked-${attempt.object}` : `${door.name}-${name}`
}

export function pathOf(identity: string, index: number, name: string): string {
  return `/lab/${identity}/c${index}/${name}`
}

export function freeOf(identity: string, index: number, name: string): string {
  return `/lab/${identity}/free/c${index}-${name}`
}

export function cellOf(identity: MatrixIdentity, index: number, name: string) {
  return { identity, path: pathOf(identity.name, index, name), free: freeOf(identity.name, index, name) }
}

/** What the oracle is told of the tree; `kind` as in an attempt. */
export function placeOf(acl: AclCase, path: string, kind: Attempt['object']): Place {
  const [, lab = '', identity = '', around = ''] = path.split('/')
  const above = [`/${lab}`, `/${lab}/${identity}`].map((each) => seen(each, 'admin', top, true))
  const directory = seen(`/${lab}/${identity}/${around}`, 'alice', acl.around, true)
  const object = kind === 'nothing' ? undefined : seen(path, 'alice', acl.object, kind === 'directory')
  return { way: [...above, directory], object, path }
}

/** Of something in the free place. */
export function freePlaceOf(path: string, kind: 'file' | 'directory' | undefined): Place {
  const all: AclCase = { name: 'free', around: free, object: free }
  return placeOf(all, path, kind ?? 'nothing')
}

function seen(path: string, owner: string, entries: readonly string[], isDirectory: boolean): Seen {
  return { path, owner: named(owner), group: named('photon'), isDirectory, entries }
}

export function makeTree(doors: readonly MatrixDoor[]) {
  const objects = objectsOf(doors)
  return (topOfTree: string): void => {
    const tree = new Guarded(topOfTree)
    tree.directory('', 'admin', top)
    for (const identity of identityNames) {
      tree.directory(identity, 'admin', top)
      tree.directory(`${identity}/free`, 'alice', free)
      for (const [index, { around, object }] of aclCases.entries()) {
        tree.directory(`${identity}/c${index}`, 'alice', around)
        for (const [name, { object: kind, source }] of objects) {
          const path = pathOf(identity, index, name).slice('/lab/'.length)
          if (kind === 'directory') tree.directory(path, 'alice', object)
          if (kind === 'file') tree.file(path, 'alice', 'old', object)
          if (kind === 'file') color(join(topOfTree, path))
          const from = freeOf(identity, index, name).slice('/lab/'.length)
          if (source === 'directory') tree.directory(from, 'alice', free)
          if (source === 'file') tree.file(from, 'alice', 'moved', free)
        }
      }
    }
  }
}

/** What the doors need, by name. */
export function objectsOf(doors: readonly MatrixDoor[]): ReadonlyMap<string, Attempt> {
  const objects = new Map<string, Attempt>()
  for (const door of doors) for (const way of waysOf(door)) objects.set(nameOf(door, way), way.attempt)
  return objects
}

/** Gives a file the property that is asked for. */
export function color(file: string): void {
  const fd = openSync(file, 'r')
  fsetxattr(fd, 'user.portolan.properties', Buffer.from(JSON.stringify([[deadProperty.key, deadProperty.xml]])), 0)
  closeSync(fd)
}

/** A gateway over the tree that knows a second issuer and one account more. */
export async function startMatrix(
  t: Test,
  mount: Pick<TestMount, 'make' | 'enforce'>,
  { tickets, directory }: Means,
): Promise<TestGateway> {
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', backend: { sync: 'never' }, more: { anonymous: true }, ...mount }],
    passwords: true,
    s3: { buckets: { lab: '/lab' } },
    // Whoever asks about every cell asks often.
    limits: { explainPerMinute: 1_000_000 },
    secrets: { 'ldap.password': reader.password },
    ...(typeof tickets !== 'string' && { more: tickets.more }),
  })
  const more = join(gateway.directory, 'more-accounts.yaml')
  writeFileSync(more, stringify({ users: { dora } }), { mode: 0o600 })
  if (asRoot) chownSync(more, service.uid, service.gid)
  gateway.configure((config) => {
    const [first] = config.issuers as Record<string, unknown>[]
    Object.assign(config, {
      accounts: [...(config.accounts as object[]), { file: more }, ...(directory ? [{ ldap: directory }] : [])],
      issuers: [
        { ...first, account: 'carol' },
        { ...first, issuer: staffIssuer, name: 'staff', profile: 'plain', basePath: undefined, account: undefined },
      ],
      mapping: [
        { issuer: 'lab-issuer', subject: 'wanderer', account: 'dora' },
        { issuer: 'lab-issuer', group: '/lab/p01', joins: 'p01' },
        { issuer: 'staff', claim: 'preferred_username', account: '{value}' },
      ],
    })
  })
  const outcome = await gateway.reload()
  if (outcome.msg !== 'the configuration was taken over') throw new Error(JSON.stringify(outcome))
  return gateway
}

function person(user: string, more: readonly string[] = [], bounds: readonly Bound[] = []): Caller {
  const own = user in users ? users[user as UserName].groups : []
  const all = [...own.map((group) => named(group)), ...more]
  return { user: named(user), groups: all.filter((group) => isKnown(group)), bounds }
}

function isKnown(group: string): boolean {
  return !group.endsWith(`@${domain}`) || Object.keys(groups).some((name) => named(name) === group)
}

const bySignature = { not: 'HTTP knows no signatures' }
const notHimself = { not: 'keys of S3 are given to whoever signs in himself' }

/** All of them, with what they come with. Tokens come to S3 by way of temporary keys. */
export async function identitiesOf(
  gateway: TestGateway,
  { tickets, directory }: Means,
): Promise<readonly MatrixIdentity[]> {
  const staff = (user: UserName) => gateway.token(user, { iss: staffIssuer, preferred_username: user })
  const robot = (scope: string) => gateway.token('admin', { sub: 'robot', scope })
  const modify = 'storage.modify:/lab/changer storage.modify:/lab/handed-on storage.stage:/lab/changer'
  const tokens = {
    owner: await staff('alice'),
    person: await staff('bob'),
    reader: await robot('storage.read:/lab/reader'),
    maker: await robot('storage.create:/lab/maker'),
    changer: await robot(modify),
    stranger: await robot('storage.read:/lab/stranger/free storage.modify:/lab/stranger/free'),
    member: await gateway.token('admin', { sub: 'wanderer', 'wlcg.groups': ['/lab/p01', '/lab/outside'] }),
    administrator: await staff('admin'),
  }
  const scoped = (path: string, ...names: readonly string[]): Bound => ({ names, path })
  const changerBounds = [scoped('/lab/handed-on', 'storage.modify')]
  const callers: Readonly<Record<keyof typeof tokens, Caller>> = {
    owner: person('alice'),
    person: person('bob'),
    reader: person('carol', [], [scoped('/lab/reader', 'storage.read')]),
    maker: person('carol', [], [scoped('/lab/maker', 'storage.create')]),
    changer: person('carol', [], [scoped('/lab/changer', 'storage.modify', 'storage.stage')]),
    stranger: person('carol', [], [scoped('/lab/stranger/free', 'storage.read', 'storage.modify')]),
    member: person('dora', [named('p01'), '/lab/outside@lab-issuer']),
    administrator: person('admin'),
  }
  const byToken: MatrixIdentity[] = []
  for (const name of Object.keys(tokens) as (keyof typeof tokens)[]) {
    const s3 = { is: await temporaryKey(gateway, { WebIdentityToken: tokens[name] }) }
    byToken.push({ name, caller: callers[name], http: { is: bearer(tokens[name]) }, s3 })
  }
  const some = ['LIST', 'DOWNLOAD', 'UPLOAD', 'MANAGE']
  const fewer = ['DELETE', 'UPDATE_METADATA']
  const macaroon = await macaroonOf(gateway, tokens.person, '/lab/macaroon', some)
  const handedOn = await macaroonOf(gateway, tokens.changer, '/lab/handed-on', fewer)
  // Of a directory, where there is one.
  const [user, word] = directory ? ['erin', 'erin-pw'] : ['carol', password]
  const basic = Buffer.from(`${user}:${word}`).toString('base64')
  return [
    ...byToken,
    identity('macaroon', person('bob', [], [scoped('/lab/macaroon', ...some)]), bearer(macaroon)),
    identity(
      'handed-on',
      person('carol', [], [scoped('/lab/handed-on', ...fewer), ...changerBounds]),
      bearer(handedOn),
    ),
    { name: 'access-key', caller: person('bob'), http: bySignature, s3: { is: accessKeyOf('bob') } },
    { name: 'ticket', caller: person('bob'), ...(await byTicket(gateway, tickets)) },
    {
      name: 'password',
      caller: directory ? person('erin', [named('p01')]) : person('carol'),
      http: { is: { Authorization: `Basic ${basic}` } },
      s3: { is: await temporaryKey(gateway, {}, `Basic ${basic}`) },
    },
    { name: 'anonymous', caller: { user: undefined, groups: [], bounds: [] }, http: { is: {} }, s3: { is: undefined } },
  ]
}

function identity(name: IdentityName, caller: Caller, headers: Readonly<Record<string, string>>): MatrixIdentity {
  return { name, caller, http: { is: headers }, s3: notHimself }
}

async function byTicket(gateway: TestGateway, tickets: Tickets | string): Promise<Pick<MatrixIdentity, 'http' | 's3'>> {
  if (typeof tickets === 'string') return { http: { not: tickets }, s3: { not: tickets } }
  const s3 = { is: await temporaryKey(gateway, {}, await tickets.headerOf('bob')) }
  return { http: { is: { Cookie: await tickets.cookieOf(gateway, 'bob') } }, s3 }
}

function bearer(token: string): Readonly<Record<string, string>> {
  return { Authorization: `Bearer ${token}` }
}

async function macaroonOf(gateway: TestGateway, token: string, path: string, activities: readonly string[]) {
  const { status, text } = await gateway.request({
    ...{ method: 'POST', path, token },
    headers: { 'Content-Type': 'application/macaroon-request' },
    body: JSON.stringify({ caveats: [`activity:${activities.join(',')}`], validity: 'PT1H' }),
  })
  if (status !== 200) throw new Error(`no macaroon for ${path}: ${status} ${text}`)
  return String(JSON.parse(text).macaroon)
}

/** AssumeRoleWithWebIdentity of the AWS STS API Reference; AssumeRole for whoever shows what he has in a header. */
async function temporaryKey(
  gateway: TestGateway,
  fields: Readonly<Record<string, string>>,
  authorization?: string,
): Promise<SigningKey> {
  const form = new URLSearchParams({
    ...{ Action: authorization ? 'AssumeRole' : 'AssumeRoleWithWebIdentity', Version: '2011-06-15' },
    ...{ RoleArn: 'arn:aws:iam::000000000000:role/any', RoleSessionName: 'matrix' },
    ...fields,
  })
  const { status, text } = await gateway.s3({
    ...{ method: 'POST', path: '/', body: form.toString() },
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(authorization !== undefined && { authorization }),
    },
  })
  const textIn = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1] ?? ''
  if (status !== 200) throw new Error(`no temporary key: ${status} ${text}`)
  return {
    accessKeyId: textIn('AccessKeyId'),
    secret: textIn('SecretAccessKey'),
    sessionToken: textIn('SessionToken'),
  }
}
