/** One decision, whoever is asked: the data door, `rights` and `explain` agree for every caller, ACL and action. */

import t from 'tap'
import { startTestGateway } from './harness.ts'
import type { Json } from './http.ts'
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
            }
          }
        }
      },
      backend: { sync: 'never' },
    },
  ],
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
}

const update = (xml: string) => `<propertyupdate xmlns="DAV:"><set><prop>${xml}</prop></set></propertyupdate>`
const property = update('<x xmlns="urn:x">1</x>')
const time = update('<getlastmodified>Wed, 01 Jan 2020 00:00:00 GMT</getlastmodified>')

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
]

async function attempt(caller: UserName, { method, body, headers, to }: Attempt, path: string): Promise<boolean> {
  const all = { ...headers, ...(to && { Destination: `${path}-${method}` }) }
  const answer =
    method === 'ACL'
      ? await gateway.api('acl', { path }, caller)
      : await gateway.request({ method, path, user: caller, headers: all, ...(body && { body }) })
  if (answer.status === 403) return false
  if (answer.status < 300) return true
  throw new Error(`${caller} ${method} ${path} gave ${answer.status}`)
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
          const what = `${caller} ${each.method} (${each.action}) with "${file}"`
          const said = explained.allowed && also?.allowed !== false
          if (said !== is) {
            t.fail(`${what}: explain says ${said}, the door ${is}`, { steps: explained.steps })
          }
          // Without the right to look there is nothing that rights would tell.
          const held = rights.status === 200 ? (rights.json() as Json).actions.includes(each.action) : undefined
          const isThere = each.at !== '-new' && each.at !== '-made'
          if (held !== undefined && isThere && (held && also?.allowed !== false) !== is) {
            t.fail(`${what}: rights says ${held}, the door ${is}`)
          }
        }
      }
    }
    t.ok(counts.allowed > 0 && counts.refused > 0, `${counts.allowed} allowed, ${counts.refused} refused, all agreed`)
  })
}
