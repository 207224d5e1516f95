/** What is special to a bucket as a tree, against a real S3 server. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinNames } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Acl } from '../../acl/acl.ts'
import type { S3Backend, S3Options } from '../../backends/s3/s3.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { openState } from '../../gateway/state/open.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { Area, act, fails, pour } from '../backends/conformance/area.ts'
import { mountOf } from '../core/world.ts'
import { noRgw, type Rgw, startRgw } from '../peers/rgw.ts'
import { TestServices } from '../posix/backend-world.ts'
import { alice, type Bucket, bob, makeBucket, openAcl } from './world.ts'

const skip = noRgw()
let rgw: Rgw | undefined
if (!skip) {
  rgw = await startRgw()
  const started = rgw
  t.teardown(() => started.stop())
}

/** A test with a bucket of its own. */
function test(
  name: string,
  run: (t: Test, area: Area, bucket: Bucket, backend: S3Backend) => Promise<void>,
  options: Partial<S3Options> = {},
): void {
  t.test(name, { skip, timeout: 120_000 }, async (t) => {
    if (!rgw) return
    const bucket = await makeBucket(rgw, options)
    t.teardown(() => bucket.end())
    const backend = bucket.open()
    await run(t, areaOf(backend), bucket, backend)
  })
}

const areaOf = (backend: S3Backend) => new Area({ backend, principals: [alice, bob], cleanup: async () => {} }, root)
const owners = (acl: Acl | undefined) => acl && { owner: acl.owner, aces: acl.aces.length }
const shared: Acl = {
  ...openAcl,
  aces: [{ type: 'allow', flags: 0x43, mask: 0x1200a9, who: { group: 'p01@desy.de' } }],
}

test('what others put into the bucket has what its directory gives', async (t, area, bucket) => {
  await bucket.put('made/by/others.txt', 'bytes')
  t.same(await area.names(root), ['made'])
  const { ancestors, entry } = await area.backend.walk(parsePath('/made/by/others.txt'), area.call)
  t.same(
    ancestors.map(({ name, type }) => [name, type]),
    [
      ['', 'directory'],
      ['made', 'directory'],
      ['by', 'directory'],
    ],
  )
  for (const { acl } of [...ancestors, entry ?? { acl: undefined }]) t.equal(acl?.owner, 'alice@desy.de')
  await act(area.backend.acls?.set(parsePath('/made'), shared, {}, area.call) ?? Promise.reject(new Error('no ACLs')))
  const [seen] = await area.list(parsePath('/made/by'), { acls: true })
  t.same(
    seen?.acl?.aces.map(({ who }) => who),
    [{ group: 'p01@desy.de' }],
  )
  t.equal(await area.text(parsePath('/made/by/others.txt')), 'bytes')
})

test(
  'a bucket without an ACL at the top is closed',
  async (t, area) => {
    t.equal((await area.known(root)).acl, undefined)
    await fails(t, area.write(area.at('file'), 'x'), 'denied')
    await fails(t, area.mkdir(area.at('directory')), 'denied')
  },
  { rootAcl: undefined } as unknown as Partial<S3Options>,
)

test('a change by another process counts at once', async (t, area, bucket) => {
  await area.write(area.at('file'), 'x')
  t.equal((await area.known(area.at('file'))).acl?.aces.length, 1)
  const other = areaOf(bucket.open())
  await act(other.backend.acls?.set(area.at('file'), { ...shared, aces: [] }, {}, area.call) ?? Promise.reject())
  t.same(owners((await area.known(area.at('file'))).acl), { owner: 'alice@desy.de', aces: 0 })
  const [listed] = await area.list(root, { acls: true })
  t.equal(listed?.acl?.aces.length, 0)
})

test('a left sidecar gives its rights to nobody who makes the object anew', async (t, area, bucket) => {
  await area.write(area.at('file'), 'x')
  await act(area.backend.acls?.set(area.at('file'), shared, {}, area.call) ?? Promise.reject())
  const sidecars = await bucket.keys('.portolan/acl/')
  t.same(sidecars, ['.portolan/acl/:file'])
  const { DeleteObjectCommand } = await import('@aws-sdk/client-s3')
  await bucket.client.send(new DeleteObjectCommand({ Bucket: bucket.name, Key: 'file' }))
  await area.write(area.at('file'), 'y')
  t.same(
    (await area.known(area.at('file'))).acl?.aces.map(({ who }) => who),
    ['OWNER@'],
  )
})

test('a directory stays when the last thing in it goes, and takes its ACL along when it goes itself', async (t, area, bucket) => {
  await bucket.put('directory/file', 'x')
  await area.remove(area.at('directory', 'file'))
  t.same(await area.names(area.at('directory')), [])
  await bucket.put('directory/file', 'x')
  await fails(t, area.remove(area.at('directory')), 'not-empty')
  await area.remove(area.at('directory', 'file'))
  await area.remove(area.at('directory'))
  t.same(await bucket.keys(), [])
})

test('a key that is object and directory is a directory; what no path can name is not shown; both are counted', async (t, area, bucket) => {
  const keys = [
    'a',
    'a!',
    'a/b',
    'a/b/c',
    'x//y',
    'x/./y',
    '../z',
    'good',
    `deep/.portolan/acl/:x`,
    'z\u0001',
    `${'n'.repeat(300)}`,
  ]
  for (const key of keys) await bucket.put(key, 'x')
  t.same(await area.names(root), ['a', 'a!', 'deep', 'good', 'x', 'z\u0001'])
  t.same(await area.names(area.at('a')), ['b'])
  t.same(await area.names(area.at('x')), [])
  t.same(await area.names(area.at('deep')), [])
  t.equal((await area.known(area.at('a'))).type, 'directory')
  for (const entry of await area.list(root, { acls: true })) t.same(entry, await area.known(area.at(entry.name)))
  const findings = (await area.backend.checking?.check()) ?? []
  const counted = (subject: string) =>
    /(\d+) (have|are)/.exec(findings.find((one) => one.subject === subject)?.text ?? '')?.[1]
  t.equal(counted('shadowed'), '2')
  t.equal(counted('bad-names'), '5')
})

test('names that begin alike keep their sidecars in long listings', async (t, area) => {
  const names = ['a', 'a!', 'a-b', 'a.b', 'a.b.c', 'a0', 'b', 'b ', 'é', '\u{10000}', '\uffee']
  for (const name of names) {
    if (name.length % 2 === 1) await area.mkdir(area.at(name))
    else await area.write(area.at(name), name)
  }
  const entries = await area.list(root, { acls: true })
  t.same(entries.map(({ name }) => name).sort(), names.toSorted())
  for (const entry of entries) t.same(entry, await area.known(area.at(entry.name)), entry.name)
})

test('a mode is what the ACL amounts to, owner and group are changed there too', async (t, area) => {
  await area.write(area.at('file'), 'x')
  const changes = { mode: 0o7640, owner: 'bob@desy.de', group: 'p02@desy.de' }
  const { acl, version, mode } = await act(area.backend.setAttributes(area.at('file'), changes, area.call))
  t.equal(mode, undefined)
  t.same([acl?.owner, acl?.group], ['bob@desy.de', 'p02@desy.de'])
  t.same(
    acl?.aces
      .filter(({ type }) => type === 'allow')
      .map(({ who }) => who)
      .slice(0, 2),
    ['OWNER@', 'GROUP@'],
  )
  t.equal(version, (await area.known(area.at('file'))).version)
  await area.mkdir(area.at('directory'))
  const set = (what: object) => act(area.backend.setAttributes(area.at('directory'), what, area.call))
  await fails(t, set({ mode: 0o1777 }), 'unsupported')
  await fails(t, set({ modified: 1n }), 'unsupported')
})

test('a renamed file keeps ACL, properties, digests and time, a replaced one ends with its own', async (t, area, bucket) => {
  const time = 1_600_000_000_123_456_789n
  const digests = { md5: Buffer.alloc(16, 7) }
  await area.write(area.at('from'), 'bytes', { modified: time, digests })
  await act(area.backend.acls?.set(area.at('from'), shared, {}, area.call) ?? Promise.reject())
  await act(area.backend.properties?.set(area.at('from'), new Map([['key', 'value']]), area.call) ?? Promise.reject())
  await area.write(area.at('to'), 'other', { modified: 5n })
  await area.mkdir(area.at('there'))
  for (const target of [area.at('to'), area.at('there', 'new')]) {
    const source = target === area.at('to') ? area.at('from') : area.at('to')
    const entry = await area.rename(source, target)
    t.same(entry, await area.known(target))
    t.equal(entry.modified, time)
    t.same(entry.acl?.aces, shared.aces)
    t.same(await act(area.backend.properties?.get(target, area.call) ?? Promise.reject()), new Map([['key', 'value']]))
    t.same((await act(area.backend.checksums?.kept(target, area.call) ?? Promise.reject())).md5, digests.md5)
  }
  t.same(await bucket.keys(), ['.portolan/acl/:there', '.portolan/acl/there/:new', 'there/', 'there/new'])
  const again = await area.write(area.at('there', 'new'), 'bytes')
  t.not(again.modified, time, 'the same bytes once more have a time of their own')
})

test('gateways of two state stores do not both make one file', async (t, area, bucket) => {
  const other = areaOf(new (await import('../../backends/s3/s3.ts')).S3Backend(bucket.options, new TestServices()))
  t.teardown(() => other.backend.close())
  for (let round = 0; round < 10; round++) {
    const path = area.at(`file-${round}`)
    const drafts = [await area.draft(path, 'ours'), await other.draft(path, 'theirs', area.as(1))]
    const outcomes = await Promise.allSettled(drafts.map((draft) => area.commit(draft, { condition: 'absent' })))
    t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    const winner = (await area.text(path)) === 'ours' ? alice : bob
    t.equal((await area.known(path)).acl?.owner, winner.user)
    t.ok((await bucket.keys('.portolan/acl/')).includes(`.portolan/acl/:file-${round}`), 'its sidecar is there')
    for (const draft of drafts) await draft.discard()
  }
})

test('Storage moves a directory child by child, with times and ACLs decided there', async (t, area, bucket, backend) => {
  const spillDirectory = mkdtempSync(joinNames(tmpdir(), 'portolan-s3-'))
  t.teardown(() => rmSync(spillDirectory, { recursive: true }))
  const storage = new Storage({
    namespace: new Namespace([mountOf('/s3', backend)]),
    audit: new MemoryAudit(),
    spillDirectory,
  })
  await area.mkdir(area.at('from'))
  await area.mkdir(area.at('from', 'inner'))
  const { modified } = await area.write(area.at('from', 'inner', 'file'), 'bytes')
  await storage.rename(area.call, parsePath('/s3/from'), parsePath('/s3/to'), {})
  t.same(await area.names(root), ['to'])
  t.equal(await area.text(area.at('to', 'inner', 'file')), 'bytes')
  t.equal((await area.known(area.at('to', 'inner', 'file'))).modified, modified)
  await t.rejects(storage.rename(area.as(1), parsePath('/s3/to'), parsePath('/s3/mine'), {}), { code: 'denied' })
  t.same(
    (await bucket.keys()).filter((key) => key.includes('from')),
    [],
  )
})

test('an upload of any size needs little memory', async (t, area, bucket) => {
  const size = 256 * 2 ** 20
  const chunk = Buffer.alloc(2 ** 20, 'x')
  const draft = await act(area.backend.create(area.at('large'), {}, area.call))
  let most = 0
  const before = process.memoryUsage().arrayBuffers
  await pour(
    draft,
    (function* () {
      for (let at = 0; at < size; at += chunk.length) {
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
        yield chunk
      }
    })(),
  )
  t.same(await bucket.keys(), [], 'nothing is seen before the commit')
  t.equal((await bucket.uploads()).length, 1)
  const entry = await area.commit(draft, { digests: { md5: Buffer.alloc(16) } })
  t.equal(entry.size, size)
  t.same(Object.keys(await act(area.backend.checksums?.kept(area.at('large'), area.call) ?? Promise.reject())), ['md5'])
  // Three parts of 16 MiB, and what grew into the first.
  t.ok(most < 96 * 2 ** 20, `${Math.round(most / 2 ** 20)} MiB`)
  t.same([await bucket.uploads(), [...bucket.services.places]], [[], []])
  let read = 0
  const file = await act(area.backend.open(area.at('large'), {}, area.call))
  for await (const part of file.stream({ start: 0, end: size })) read += (part as Buffer).length
  t.equal(read, size)
})

test('a gateway killed in an upload leaves nothing after a sweep', async (t, _area, bucket) => {
  if (!rgw) return
  const state = mkdtempSync(joinNames(tmpdir(), 'portolan-s3-'))
  t.teardown(() => rmSync(state, { recursive: true }))
  const child = fork(joinNames(import.meta.dirname, 'crash-program.ts'), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const { accessKeyId: key, secretAccessKey: secret, endpoint } = rgw
  child.send({ endpoint: endpoint.href, bucket: bucket.name, key, secret, state })
  await once(child, 'message')
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.same(await bucket.uploads(), ['file'])
  const services = await openState({ directory: state, timing: { renew: 100, life: 500 } })
  const { S3Backend } = await import('../../backends/s3/s3.ts')
  const backend = new S3Backend(bucket.options, services)
  t.teardown(async () => {
    await backend.close()
    await services.close()
  })
  // The dead process holds its entries until its life has passed; nobody tells when.
  for (let left = 100; left > 0 && (await backend.sweep(0)) === 0; left--) await sleep(100)
  t.same([await bucket.uploads(), await bucket.keys()], [[], []])
  t.equal(await areaOf(backend).exists('/file' as Path), false)
})
