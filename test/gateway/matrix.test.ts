/** One decision, whoever is asked: HTTP, WebDAV, S3, `rights` and `explain` agree for every caller, ACL and action. */

import { createHash } from 'node:crypto'
import t from 'tap'
import { startTestGateway } from './harness.ts'
import type { Answer, Json } from './http.ts'
import { named, type UserName, userNames } from './people.ts'
import { everything, Guarded, look } from './tree.ts'

t.setTimeout(300_000)

const all = `A::OWNER@:${everything}`
/** ACLs of a file of alice, each with a name. */
const fileAcls: Readonly<Record<string, readonly string[]>> = {
  nothing: [],
  owner: [all],
  read: [all, `A::${named('bob')}:rtcy`],
  write: [all, `A::${named('bob')}:wa`],
  change: [all, `A::${named('bob')}:rwatTnNcy`],
  delete: [all, `A::${named('bob')}:d`],
  group: [all, `A:g:${named('p01')}:rwatcy`],
  owning: [all, 'A:g:GROUP@:rtcy'],
  everyone: [all, 'A::EVERYONE@:rwatcy'],
  'deny first': [all, `D::${named('bob')}:r`, 'A::EVERYONE@:rtcy'],
  'deny last': [all, 'A::EVERYONE@:rtcy', `D::${named('bob')}:r`],
  'deny group': [all, `D:g:${named('photon')}:w`, 'A::EVERYONE@:rwatcy'],
  'deny owner': ['D::OWNER@:w', 'A::EVERYONE@:rwatcy'],
}
/** ACLs of the directory around it. */
const directoryAcls: Readonly<Record<string, readonly string[]>> = {
  open: [all, `A::EVERYONE@:${look}`],
  'may add': [all, 'A::EVERYONE@:rwxtcy'],
  'may delete': [all, 'A::EVERYONE@:rwaDxtcy'],
  'may not delete': [all, `D::${named('bob')}:D`, 'A::EVERYONE@:rwaDxtcy'],
  'way only': [all, 'A::EVERYONE@:x'],
  'names only': [all, 'A::EVERYONE@:rtcy'],
}

const callers: readonly UserName[] = userNames
const directories = Object.entries(directoryAcls)
const files = Object.entries(fileAcls)
const place = (directory: number, file: number, caller: UserName) => `d${directory}/f${file}-${caller}`

const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/lab',
      make: (top) => {
        const tree = new Guarded(top)
        tree.directory('', 'admin', [all, `A::EVERYONE@:${look}`])
        for (const [d, [, entries]] of directories.entries()) {
          tree.directory(`d${d}`, 'alice', entries)
          for (const [f, [, acl]] of files.entries()) {
            // A file for each caller, since what may be removed will be.
            for (const caller of callers) {
              tree.file(place(d, f, caller), 'alice', 'content', acl)
              tree.file(`${place(d, f, caller)}-other`, 'alice', 'content', acl)
              tree.file(`${place(d, f, caller)}-s3`, 'alice', 'content', acl)
            }
          }
        }
      },
      backend: { sync: 'never' },
    },
  ],
  s3: { buckets: { lab: '/lab' } },
})

interface Attempt {
  readonly action: string
  readonly method: string
  /** In place of the file: what is at its name with this ending, or the directory. */
  readonly at?: string
  /** Goes to a new name beside it, which takes this action there. */
  readonly to?: 'create' | 'move-in-file'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** By S3, with this query. */
  readonly s3?: string
}

const update = (xml: string) => `<propertyupdate xmlns="DAV:"><set><prop>${xml}</prop></set></propertyupdate>`
const property = update('<x xmlns="urn:x">1</x>')
const time = update('<getlastmodified>Wed, 01 Jan 2020 00:00:00 GMT</getlastmodified>')

const tags = '<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>'
const digest = { 'content-md5': createHash('md5').update(tags).digest('base64') }

/** In an order in which none takes away what the next one needs. */
const attempts: readonly Attempt[] = [
  { action: 'list', method: 'GET', at: 'directory' },
  { action: 'read', method: 'GET' },
  { action: 'read-acl', method: 'ACL' },
  { action: 'replace', method: 'PUT', body: 'content' },
  { action: 'create', method: 'PUT', at: '-new', body: 'content' },
  { action: 'stat', method: 'PROPFIND', headers: { Depth: '0' } },
  { action: 'list', method: 'PROPFIND', at: 'directory', headers: { Depth: '1' } },
  { action: 'write-properties', method: 'PROPPATCH', body: property },
  { action: 'set-attributes', method: 'PROPPATCH', body: time },
  { action: 'mkdir', method: 'MKCOL', at: '-made' },
  { action: 'read', method: 'COPY', to: 'create' },
  { action: 'move-away', method: 'MOVE', at: '-other', to: 'move-in-file' },
  { action: 'remove', method: 'DELETE' },
  { action: 'list', method: 'GET', at: 'directory', s3: 'list-type=2&delimiter=/' },
  { action: 'read', method: 'GET', at: '-s3', s3: '' },
  { action: 'replace', method: 'PUT', at: '-s3', s3: '', body: 'content' },
  { action: 'create', method: 'PUT', at: '-s3new', s3: '', body: 'content' },
  { action: 'create', method: 'POST', at: '-s3parts', s3: 'uploads' },
  { action: 'mkdir', method: 'PUT', at: '-s3made/', s3: '', body: '' },
  { action: 'write-properties', method: 'PUT', at: '-s3', s3: 'tagging', headers: digest, body: tags },
  { action: 'read', method: 'PUT', at: '-s3', to: 'create', s3: '' },
  { action: 'remove', method: 'DELETE', at: '-s3', s3: '' },
]

async function attempt(caller: UserName, each: Attempt, path: string): Promise<boolean> {
  const { method, body, headers, to, s3 } = each
  if (s3 !== undefined) return attemptByS3(caller, each, path, s3)
  const all = { ...headers, ...(to && { Destination: `${path}-${method}` }) }
  const answer =
    method === 'ACL'
      ? await gateway.api('acl', { path }, caller)
      : await gateway.request({ method, path, user: caller, headers: all, ...(body && { body }) })
  return isAllowed(answer, `${caller} ${method} ${path}`)
}

/** The bucket has the name of the mount. */
async function attemptByS3(caller: UserName, each: Attempt, path: string, query: string): Promise<boolean> {
  const { method, body, headers = {}, to } = each
  const isListing = query.startsWith('list-type')
  const key = to ? `${path}-${method}` : path
  const target = isListing ? `/lab?${query}&prefix=${path.slice('/lab/'.length)}` : `${key}?${query}`
  const all = { ...headers, ...(to && { 'x-amz-copy-source': path }) }
  const answer = await gateway.s3({
    method,
    path: target,
    user: caller,
    headers: all,
    ...(body !== undefined && { body }),
  })
  return isAllowed(answer, `${caller} ${method} ${target} by S3`)
}

function isAllowed({ status, text }: Answer, what: string): boolean {
  if (status === 403) return false
  if (status < 300) return true
  throw new Error(`${what} gave ${status}: ${text}`)
}

async function explain(caller: UserName, action: string, path: string): Promise<Json> {
  return (await gateway.api('explain', { path, action }, caller)).json()
}

for (const [d, [directory]] of directories.entries()) {
  t.test(`in a directory of kind "${directory}"`, async (t) => {
    const counts = { allowed: 0, refused: 0 }
    for (const [f, [file]] of files.entries()) {
      for (const caller of callers) {
        for (const each of attempts) {
          const own = `/lab/${place(d, f, caller)}`
          const path = each.at === 'directory' ? `/lab/d${d}/` : `${own}${each.at ?? ''}`
          const plain = path.replace(/\/$/, '')
          const explained = await explain(caller, each.action, plain)
          const also = each.to && (await explain(caller, each.to, `${plain}-${each.method}`))
          const rights = await gateway.api('rights', { path: plain }, caller)
          const is = await attempt(caller, each, path)
          counts[is ? 'allowed' : 'refused']++
          const door = each.s3 === undefined ? '' : ' by S3'
          const what = `${caller} ${each.method} (${each.action})${door} with "${file}"`
          const said = explained.allowed && also?.allowed !== false
          if (said !== is) {
            t.fail(`${what}: explain says ${said}, the door ${is}`, { steps: explained.steps })
          }
          // Without the right to look there is nothing that rights would tell.
          const held = rights.status === 200 ? (rights.json() as Json).actions.includes(each.action) : undefined
          const isThere = ['directory', '-other', '-s3', undefined].includes(each.at)
          if (held !== undefined && isThere && (held && also?.allowed !== false) !== is) {
            t.fail(`${what}: rights says ${held}, the door ${is}`)
          }
        }
      }
    }
    t.ok(counts.allowed > 0 && counts.refused > 0, `${counts.allowed} allowed, ${counts.refused} refused, all agreed`)
  })
}
