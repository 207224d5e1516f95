/** DELETE of a collection decides per child: what may not go stays, and is named. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startTestGateway } from './harness.ts'
import type { Json } from './http.ts'
import { named } from './people.ts'
import { everything, makeArchive, makeLab, ownerOnly } from './tree.ts'

t.setTimeout(120_000)

const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/lab',
      make: (top) => {
        const tree = makeLab(top)
        tree.directory('p01/run', 'alice')
        tree.file('p01/run/a', 'alice', 'a')
        tree.directory('p01/run/open', 'carol')
        tree.file('p01/run/open/b', 'carol', 'b')
        tree.directory('p01/run/closed', 'carol', ownerOnly)
        tree.file('p01/run/closed/c', 'carol', 'c')
        tree.directory('p01/run/kept', 'carol', [
          `D::${named('alice')}:dD`,
          `A:fd:OWNER@:${everything}`,
          `A::${named('alice')}:rxtncy`,
        ])
        tree.file('p01/run/kept/d', 'carol', 'd', [`D::${named('alice')}:d`, `A::OWNER@:${everything}`])
        tree.directory('alice/deep', 'alice')
        let path = 'alice/deep'
        for (let level = 0; level < 40; level++) {
          path += '/x'
          tree.directory(path, 'alice')
          tree.file(`${path}/file`, 'alice', 'x')
        }
      },
    },
    { path: '/lab/p01/mounted', make: (top) => void makeArchive(top) },
  ],
})
const tree = gateway.tree('/lab')
const remove = (path: string, headers = {}) => gateway.request({ method: 'DELETE', path, user: 'alice', headers })

t.test('what another user has closed stays, with the directories above it', async (t) => {
  const answer = await remove('/lab/p01/run/', { Accept: 'application/problem+json' })
  t.ok([403, 409].includes(answer.status), `answered ${answer.status}`)
  const failed = answer.json().failed.map(({ path }: Json) => path)
  t.ok(
    failed.some((path: string) => path.startsWith('/lab/p01/run/kept')),
    `named: ${failed.join()}`,
  )
  t.notOk(existsSync(join(tree, 'p01/run/a')), 'what could go is gone')
  t.notOk(existsSync(join(tree, 'p01/run/open')), 'with everything in it')
  t.ok(existsSync(join(tree, 'p01/run/kept/d')), 'what could not is there')
  t.ok(existsSync(join(tree, 'p01/run/closed/c')), 'and so is what she could not even see')
  t.notMatch(answer.text, 'closed/c', 'whose name she is not told')
})

t.test('a deep tree goes as a whole', async (t) => {
  t.equal((await remove('/lab/alice/deep')).status, 204)
  t.notOk(existsSync(join(tree, 'alice/deep')))
})

t.test('a mount point and what holds one stay', async (t) => {
  t.equal((await remove('/lab/p01/mounted')).status, 403)
  t.equal((await remove('/lab/p01')).status, 403)
  t.equal((await remove('/lab')).status, 403)
  t.equal((await remove('/')).status, 403)
  t.equal((await gateway.get('/lab/p01/mounted/old.txt', 'alice')).text, 'kept')
})

t.test('a final slash, a depth and a condition count', async (t) => {
  await gateway.put('/lab/alice/f', 'alice', 'x')
  t.equal((await remove('/lab/alice/f/')).status, 404, 'a file is no directory')
  t.equal((await remove('/lab/alice/', { Depth: '0' })).status, 400, 'a directory goes as a whole')
  t.equal((await remove('/lab/alice/f', { 'If-Match': '"other"' })).status, 412)
  const { etag } = (await gateway.get('/lab/alice/f', 'alice')).headers
  t.equal((await remove('/lab/alice/f', { 'If-Match': String(etag) })).status, 204)
  await gateway.put('/lab/alice/f', 'alice', 'x')
  t.equal((await remove('/lab/alice/f', { Depth: '0' })).status, 204, 'to a file every depth is the same')
})
