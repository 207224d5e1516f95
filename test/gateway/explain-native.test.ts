/** explain where the kernel decides: its word, the directory that it closes, and what its ACLs say of everybody. */

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { noNative, startTestGateway } from './harness.ts'
import { named, users } from './people.ts'
import { Owned } from './tree.ts'

interface Told {
  readonly allowed: unknown
  readonly advice?: string
  readonly steps: ReadonlyArray<{ readonly check: string; readonly allowed: unknown; readonly reason: unknown }>
}

t.setTimeout(120_000)
const noSetfacl = existsSync('/usr/bin/setfacl') ? false : 'setfacl is not installed (apt-get install acl)'
const skip = noNative || noSetfacl

t.test("the kernel's word is told, and where it closes the way", { skip }, async (t) => {
  const gateway = await startTestGateway(t, {
    mounts: [
      {
        path: '/native',
        enforce: 'native',
        make: (top) => {
          const tree = new Owned(top)
          tree.directory('alice', 'alice', 0o755)
          tree.directory('alice/inner', 'alice', 0o700)
          tree.directory('alice/inner/deep', 'alice', 0o755)
          tree.file('alice/own', 'alice', 'of alice', 0o600)
          tree.file('alice/for-bob', 'alice', 'shared', 0o600)
          tree.directory('sticky', 'admin', 0o1777)
          tree.file('sticky/of-alice', 'alice', 'x', 0o666)
        },
      },
    ],
  })
  const ask = async (path: string, action: string, user: 'alice' | 'bob' | 'admin', about?: string): Promise<Told> =>
    (await gateway.api('explain', { path, action, ...(about && { user: about }) }, user)).json()
  const rows = [
    ['/native/alice/own', 'read', 'alice', true],
    ['/native/alice/own', 'read', 'bob', false],
    ['/native/alice/own', 'stat', 'bob', true],
    ['/native/alice/own', 'write-acl', 'bob', false],
    ['/native/alice/own', 'write-acl', 'alice', true],
    ['/native/alice/new', 'create', 'alice', true],
    ['/native/alice/new', 'create', 'bob', false],
    ['/native/alice/own', 'remove', 'bob', false],
    ['/native/sticky/of-alice', 'remove', 'bob', false],
    ['/native/sticky/of-alice', 'replace', 'bob', true],
    ['/native/sticky/of-alice', 'remove', 'alice', true],
    ['/native/alice/none', 'read', 'bob', false],
  ] as const
  for (const [path, action, user, allowed] of rows) {
    const told = await ask(path, action, user)
    t.equal(told.allowed, allowed, `${user} ${action} ${path}: ${JSON.stringify(told.steps.at(-1))}`)
  }
  const refused = await ask('/native/alice/own', 'read', 'bob')
  t.match(refused.steps.at(-1), {
    check: 'back end',
    allowed: false,
    reason: { text: /the kernel does not grant READ_DATA/ },
  })
  const closed = await ask('/native/alice/inner/deep/f', 'read', 'bob')
  t.match(
    closed.steps.find(({ check }) => check === 'traverse'),
    { allowed: false, reason: { rule: 'traverse', path: '/native/alice/inner' } },
  )
  const same = await ask('/native/alice/inner/none/f', 'read', 'bob')
  t.same(same.steps.slice(3), closed.steps.slice(3), 'and nothing of what lies below')
  const about = await ask('/native/alice/own', 'read', 'admin', 'bob')
  t.equal(about.allowed, false, 'an administrator is told what bob would meet')
  t.equal((await gateway.get('/native/alice/inner/', 'admin')).status, 403, 'and gets no right by it')
  execFileSync('setfacl', ['-m', `u:${users.bob.uid}:r`, join(gateway.tree('/native'), 'alice/for-bob')])
  const shared = await ask('/native/alice/for-bob', 'read', 'bob')
  t.equal(shared.allowed, true)
  const who = (await gateway.api('acl/effective', { path: '/native/alice/for-bob', action: 'read' }, 'alice')).json()
  t.equal(who.exact, false, JSON.stringify(who))
  t.same(
    who.users.map(({ user }: { user: string }) => user),
    [named('alice'), named('bob')],
  )
})
