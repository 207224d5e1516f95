/** A disk that is full. Needs root to mount one that is small. */

import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { detachMount, mount } from '../../backends/posix/native/process.ts'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { asRoot } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { leftovers } from './leftovers.ts'

t.setTimeout(120_000)

const skip = asRoot ? false : 'needs root to mount a small file system'
const megabyte = 1024 * 1024
const MS_NOSUID_NODEV = 6

/** A file system of 16 MiB with a file of 1 MiB that anyone may replace: old kernels keep no ACLs of ours there. */
async function start(t: Test): Promise<{ readonly gateway: TestGateway; readonly small: string }> {
  const small = join(mkdtempSync(join(tmpdir(), 'portolan-full-')), 'small')
  chmodSync(join(small, '..'), 0o755)
  mkdirSync(small)
  mount('portolan-test', small, 'tmpfs', MS_NOSUID_NODEV, 'size=16m,mode=0777')
  t.teardown(() => {
    detachMount(small)
    rmSync(join(small, '..'), { recursive: true, force: true })
  })
  writeFileSync(join(small, 'old'), Buffer.alloc(megabyte, 'o'))
  chmodSync(join(small, 'old'), 0o666)
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/small', root: small, backend: { acl: ['posix'] } }],
  })
  return { gateway, small }
}

t.test(
  'an upload that does not fit is 507, the old file and the space are as before',
  { skip, timeout: 60_000 },
  async (t) => {
    const { gateway, small } = await start(t)
    const free = () => statfsSync(small).bavail * statfsSync(small).bsize
    const before = free()
    const content = Buffer.alloc(64 * megabyte, 'n')
    const chunks = () =>
      Readable.from(
        Array.from({ length: 64 }, (_, index) => content.subarray(index * megabyte, (index + 1) * megabyte)),
      )
    const uploads = [
      ['announced', '/small/old', { body: content }],
      [
        'announced and held back',
        '/small/old',
        { body: chunks(), headers: { 'Content-Length': content.length, Expect: '100-continue' } },
      ],
      ['of unknown length', '/small/old', { body: chunks() }],
      ['a new file', '/small/new', { body: content }],
      ['a new file of unknown length', '/small/new', { body: chunks() }],
    ] as const
    for (const [what, path, sent] of uploads) {
      const answer = await gateway.request({ method: 'PUT', path, user: 'alice', ...sent })
      t.equal(answer.status, 507, what)
      t.match(answer.json(), { code: 'no-space', status: 507 })
      await eventually(
        () => leftovers(gateway, small).length === 0 && free() === before,
        5000,
        'something is left',
      ).catch(() => {})
      t.same(leftovers(gateway, small), [], `${what}: no leftover`)
      t.equal(free(), before, `${what}: the space is free again`)
      t.same(readdirSync(small), ['old'])
      t.ok(readFileSync(join(small, 'old')).equals(Buffer.alloc(megabyte, 'o')), `${what}: the old file is untouched`)
      t.match(await gateway.auditOf(answer), { outcome: 'failed', code: 'no-space' })
    }
    t.equal((await gateway.put('/small/old', 'alice', 'fits')).status, 204, 'what fits is taken')
    t.equal((await gateway.get('/small/old', 'alice')).text, 'fits')
  },
)

t.test('several uploads that fit alone and not together end well or as 507', { skip, timeout: 60_000 }, async (t) => {
  const { gateway, small } = await start(t)
  const uploads = Array.from({ length: 8 }, (_, index) =>
    gateway.put(`/small/f${index}`, 'alice', Buffer.alloc(6 * megabyte, String(index))),
  )
  const statuses = (await Promise.all(uploads)).map(({ status }) => status)
  t.ok(
    statuses.every((status) => status === 201 || status === 507),
    statuses.join(),
  )
  const kept = statuses.flatMap((status, index) => (status === 201 ? [`f${index}`] : []))
  t.ok(kept.length <= 2, `${kept.length} fit`)
  t.same(readdirSync(small).toSorted(), [...kept, 'old'].toSorted())
  for (const name of kept)
    t.ok(readFileSync(join(small, name)).equals(Buffer.alloc(6 * megabyte, name.slice(1))), `${name} is whole`)
  for (const name of kept)
    t.equal((await gateway.request({ method: 'DELETE', path: `/small/${name}`, user: 'alice' })).status, 204)
  const next = await gateway.put('/small/next', 'alice', Buffer.alloc(12 * megabyte))
  t.equal(next.status, 201, 'and the room of those that failed is free')
})
