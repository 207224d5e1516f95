/** One decision, whoever is asked: the data door, `rights` and `explain` agree for every caller, ACL and action. */

import t from 'tap'
import { startTestGateway } from './harness.ts'
import type { Json } from './http.ts'
import { named, type UserName, userNames } from './people.ts'
import { everything, Guarded, look } from './tree.ts'

t.setTimeout(180_000)

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
            for (const caller of callers) tree.file(place(d, f, caller), 'alice', 'content', acl)
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
  /** In place of the file: a new name beside it, or the directory. */
  readonly at?: 'beside' | 'directory'
}

/** In an order in which none takes away what the next one needs. */
const attempts: readonly Attempt[] = [
  { action: 'list', method: 'GET', at: 'directory' },
  { action: 'read', method: 'GET' },
  { action: 'read-acl', method: 'ACL' },
  { action: 'replace', method: 'PUT' },
  { action: 'create', method: 'PUT', at: 'beside' },
  { action: 'remove', method: 'DELETE' },
]

async function attempt(caller: UserName, { method }: Attempt, path: string): Promise<boolean> {
  const answer =
    method === 'ACL'
      ? await gateway.api('acl', { path }, caller)
      : await gateway.request({ method, path, user: caller, ...(method === 'PUT' && { body: 'content' }) })
  if (answer.status === 403) return false
  if (answer.status < 300) return true
  throw new Error(`${caller} ${method} ${path} gave ${answer.status}`)
}

for (const [d, [directory]] of directories.entries()) {
  t.test(`in a directory of kind "${directory}"`, async (t) => {
    const counts = { allowed: 0, refused: 0 }
    for (const [f, [file]] of files.entries()) {
      for (const caller of callers) {
        for (const each of attempts) {
          const own = `/lab/${place(d, f, caller)}`
          const path = each.at === 'directory' ? `/lab/d${d}/` : each.at === 'beside' ? `${own}-new` : own
          const plain = path.replace(/\/$/, '')
          const explained = (await gateway.api('explain', { path: plain, action: each.action }, caller)).json()
          const rights = await gateway.api('rights', { path: plain }, caller)
          const is = await attempt(caller, each, path)
          counts[is ? 'allowed' : 'refused']++
          const what = `${caller} ${each.action} with "${file}"`
          if (explained.allowed !== is) {
            t.fail(`${what}: explain says ${explained.allowed}, the door ${is}`, { steps: explained.steps })
          }
          // Without the right to look there is nothing that rights would tell.
          const said = rights.status === 200 ? (rights.json() as Json).actions.includes(each.action) : undefined
          if (said !== undefined && each.at !== 'beside' && said !== is) {
            t.fail(`${what}: rights says ${said}, the door ${is}`)
          }
        }
      }
    }
    t.ok(counts.allowed > 0 && counts.refused > 0, `${counts.allowed} allowed, ${counts.refused} refused, all agreed`)
  })
}
