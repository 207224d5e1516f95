/** A disk that is full, during objects, parts and completions. Needs root to mount one that is small. */

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { detachMount, mount } from '../../backends/posix/native/process.ts'
import { stagingPrefix } from '../../backends/posix/options.ts'
import { leftovers } from '../faults/leftovers.ts'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import type { Answer } from '../gateway/http.ts'
import { asRoot } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { beginUpload, codeOf, completeUpload, etagOf, etagOfParts, sendPart, type Upload } from './racing.ts'

t.setTimeout(180_000)

const skip = asRoot ? false : 'needs root to mount a small file system'
const megabyte = 1024 * 1024
const MS_NOSUID_NODEV = 6

interface World {
  readonly gateway: TestGateway
  /** Where the file system is. */
  readonly small: string
  /** Bytes. */
  readonly free: () => number
}

async function start(t: Test, megabytes: number): Promise<World> {
  const small = join(mkdtempSync(join(tmpdir(), 'portolan-full-')), 'small')
  chmodSync(join(small, '..'), 0o755)
  mkdirSync(small)
  mount('portolan-test', small, 'tmpfs', MS_NOSUID_NODEV, `size=${megabytes}m,mode=0777`)
  t.teardown(() => {
    detachMount(small)
    rmSync(join(small, '..'), { recursive: true, force: true })
  })
  const mounts = [{ path: '/small', root: small, backend: { acl: ['posix'] } }]
  const gateway = await startTestGateway(t, { mounts, workers: 2, s3: { buckets: { small: '/small' } } })
  return { gateway, small, free: () => statfsSync(small).bavail * statfsSync(small).bsize }
}

function abort({ gateway }: World, { path, id }: Upload): Promise<Answer> {
  return gateway.s3({ method: 'DELETE', path: `${path}?uploadId=${id}`, user: 'alice' })
}

const contentOf = (number: number, size = 6 * megabyte) => Buffer.alloc(size, `part ${number}, `)

t.test('objects and parts that do not fit are refused, and what was there stays', { skip }, async (t) => {
  const world = await start(t, 24)
  const { gateway, small, free } = world
  const put = (body: string | Buffer, headers = {}) =>
    gateway.s3({ method: 'PUT', path: '/small/old', user: 'alice', body, headers })
  t.equal((await put('old', { 'x-amz-meta-a': 'b' })).status, 200)
  // Her own, which here it is not: the gateway has made it.
  chmodSync(join(small, 'old'), 0o666)
  const before = free()
  const refused = await put(Buffer.alloc(40 * megabyte))
  t.equal(refused.status, 507)
  t.equal(codeOf(refused), 'InsufficientStorage')
  await eventually(() => free() === before, 5000, 'the space is not free again')

  const upload = await beginUpload(gateway, 'alice', '/small/whole')
  const answers: Answer[] = []
  for (const number of [1, 2, 3, 4]) {
    answers.push(await sendPart(gateway, 'alice', upload, number, contentOf(number)))
  }
  t.same(answers.map(codeOf), ['200', '200', '200', 'InsufficientStorage'])
  const again = await sendPart(gateway, 'alice', upload, 2, contentOf(5))
  t.equal(codeOf(again), 'InsufficientStorage', 'a part that is sent again, too')
  const etags = [1, 2, 3].map((number) => etagOf(contentOf(number)))
  const wrong = await completeUpload(gateway, 'alice', upload, [...etags, etagOf(contentOf(4))])
  t.equal(codeOf(wrong), 'InvalidPart', 'what was refused is not there')
  const done = await completeUpload(gateway, 'alice', upload, etags)
  t.equal(codeOf(done), '200', 'what was acknowledged before is')
  t.match(done.text, etagOfParts([1, 2, 3].map((number) => contentOf(number))).slice(1, -1))
  t.ok(readFileSync(join(small, 'whole')).equals(Buffer.concat([1, 2, 3].map((number) => contentOf(number)))))
  const old = await gateway.s3({ path: '/small/old', user: 'alice' })
  t.equal(old.text, 'old')
  t.equal(old.headers['x-amz-meta-a'], 'b')
  t.same(readdirSync(small).toSorted(), ['old', 'whole'])
  t.same(leftovers(gateway, small), [])
})

t.test('a completion that has no room to copy leaves the upload as it was', { skip }, async (t) => {
  const world = await start(t, 26)
  const { gateway, small, free } = world
  const before = free()
  const upload = await beginUpload(gateway, 'alice', '/small/whole')
  // The second and third stand where they would not be in the whole, and one that is not chosen is in between.
  const sizes = [6, 5, 7].map((size) => size * megabyte)
  const parts = sizes.map((size, at) => contentOf(at + 1, size))
  t.equal(codeOf(await sendPart(gateway, 'alice', upload, 9, 'not chosen')), '200')
  for (const at of [2, 1, 0]) {
    t.equal(codeOf(await sendPart(gateway, 'alice', upload, at + 1, parts[at] ?? '')), '200')
  }
  const etags = parts.map(etagOf)
  const full = await completeUpload(gateway, 'alice', upload, etags)
  t.equal(codeOf(full), 'InsufficientStorage')
  t.notOk(existsSync(join(small, 'whole')))
  t.equal(readdirSync(small).filter((name) => name.startsWith(stagingPrefix)).length, 1, 'the draft of the parts alone')
  const listed = await gateway.s3({ path: `/small/whole?uploadId=${upload.id}`, user: 'alice' })
  t.equal(listed.text.split('<Part>').length, 5, 'all parts are still there')

  // With less to copy it succeeds.
  const fewer = await completeUpload(gateway, 'alice', upload, etags.slice(0, 1))
  t.equal(codeOf(fewer), '200')
  t.ok(readFileSync(join(small, 'whole')).equals(parts[0] ?? Buffer.of()))
  t.same(leftovers(gateway, small), [])

  const other = await beginUpload(gateway, 'alice', '/small/other')
  t.equal(codeOf(await sendPart(gateway, 'alice', other, 1, contentOf(1))), '200')
  t.equal((await abort(world, other)).status, 204)
  t.equal((await gateway.s3({ method: 'DELETE', path: '/small/whole', user: 'alice' })).status, 204)
  await eventually(() => free() === before, 5000, 'the space is not free again')
  t.same(readdirSync(small), [])
})
