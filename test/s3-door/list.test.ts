/** Listings, through the SDK and raw requests (Amazon S3 API Reference, ListObjectsV2, ListObjects, ListObjectVersions). */

import { createHash } from 'node:crypto'
import {
  type _Object,
  ListObjectsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { openS3, type S3World } from './world.ts'

async function filled(t: Test, keys: readonly string[], storage: 'memory' | 'posix' = 'memory') {
  const world = await openS3(t, { storage })
  const alice = world.client('alice')
  for (const key of keys) await put(alice, key)
  return { world, alice }
}

const put = (client: S3Client, Key: string, Body = Key.endsWith('/') ? '' : Key) =>
  client.send(new PutObjectCommand({ Bucket: 'data', Key, Body }))

type Wanted = Omit<ListObjectsV2CommandInput, 'Bucket'>

async function told(client: S3Client, wanted: Wanted = {}): Promise<{ keys: string[]; prefixes: string[] }> {
  const answer = await client.send(new ListObjectsV2Command({ Bucket: 'data', ...wanted }))
  return {
    keys: (answer.Contents ?? []).map(({ Key = '' }) => Key),
    prefixes: (answer.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix),
  }
}

/** Keys and prefixes in order, page after page. */
async function paged(client: S3Client, wanted: Wanted): Promise<string[]> {
  const found: string[] = []
  let ContinuationToken: string | undefined
  do {
    const answer = await client.send(
      new ListObjectsV2Command({ Bucket: 'data', ...wanted, ...(ContinuationToken && { ContinuationToken }) }),
    )
    const keys = (answer.Contents ?? []).map(({ Key = '' }) => Key)
    const prefixes = (answer.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix)
    found.push(...[...keys, ...prefixes].toSorted(byBytes))
    if (answer.KeyCount !== keys.length + prefixes.length) throw new Error('KeyCount is wrong')
    if (answer.IsTruncated !== (answer.NextContinuationToken !== undefined)) throw new Error('IsTruncated is wrong')
    ContinuationToken = answer.NextContinuationToken
  } while (ContinuationToken)
  return found
}

const md5Of = (text: string) => `"${createHash('md5').update(text).digest('hex')}"`
const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

const keys = ['a!', 'a-b', 'a.txt', 'a/b', 'a/c/d', 'a0', 'dir/', 'foo+1/bar', 'quux ab/thud', '\ue000', '\u{1f600}']

for (const storage of ['memory', 'posix'] as const) {
  t.test(`${storage}: keys come in the order of their bytes, with what HEAD tells of them`, async (t) => {
    const { alice } = await filled(t, keys.toReversed(), storage)
    t.same(await told(alice), { keys, prefixes: [] })
    const answer = await alice.send(new ListObjectsV2Command({ Bucket: 'data', Prefix: 'a.' }))
    const [object] = answer.Contents ?? []
    t.match(object, {
      Key: 'a.txt',
      Size: 5,
      StorageClass: 'STANDARD',
      ETag: md5Of('a.txt'),
    } satisfies _Object)
    t.ok(object?.LastModified && Math.abs(Date.now() - object.LastModified.getTime()) < 60_000)
    t.same(object?.Owner, undefined)
    t.match(answer, { Name: 'data', Prefix: 'a.', MaxKeys: 1000, KeyCount: 1, IsTruncated: false })
    t.notHas(answer, 'Delimiter')
    t.notHas(answer, 'StartAfter')
    t.notHas(answer, 'ContinuationToken')
  })

  t.test(`${storage}: pages hold as many as were asked for, and the last one knows that it is`, async (t) => {
    const { alice } = await filled(t, keys, storage)
    for (const MaxKeys of [1, 3, keys.length - 1, keys.length, 2000]) {
      t.same(await paged(alice, { MaxKeys }), keys, `${MaxKeys}`)
      t.same(
        await paged(alice, { MaxKeys, Delimiter: '/' }),
        ['a!', 'a-b', 'a.txt', 'a/', 'a0', 'dir/', 'foo+1/', 'quux ab/', '\ue000', '\u{1f600}'],
        `${MaxKeys}, delimited`,
      )
    }
    const all = await alice.send(new ListObjectsV2Command({ Bucket: 'data', MaxKeys: keys.length }))
    t.equal(all.IsTruncated, false)
    const none = await alice.send(new ListObjectsV2Command({ Bucket: 'data', MaxKeys: 0 }))
    t.match(none, { IsTruncated: false, KeyCount: 0, MaxKeys: 0 })
    t.equal((await alice.send(new ListObjectsV2Command({ Bucket: 'data', MaxKeys: 5000 }))).MaxKeys, 1000)
  })
}

t.test('files and directories that other doors have made are objects', async (t) => {
  const { world, alice } = await filled(t, ['own/x'], 'posix')
  const { mkdirSync, symlinkSync, writeFileSync } = await import('node:fs')
  mkdirSync(world.file('/data/made'))
  writeFileSync(world.file('/data/made/file'), 'by hand')
  symlinkSync('made', world.file('/data/link'))
  mkdirSync(world.file('/data/empty'))
  const answer = await alice.send(new ListObjectsV2Command({ Bucket: 'data' }))
  // Files that came without an ACL are nobody's to see: of a directory that is closed the name is all there is.
  t.same(
    (answer.Contents ?? []).map(({ Key }) => Key),
    ['own/x'],
  )
  t.same((await told(alice, { Delimiter: '/' })).prefixes, ['empty/', 'made/', 'own/'])
})

t.test('a listing begins behind a key, and with a prefix of any kind', async (t) => {
  const { alice } = await filled(t, keys)
  t.same((await told(alice, { StartAfter: 'a.txt' })).keys, keys.slice(3))
  t.same((await told(alice, { StartAfter: 'a/b' })).keys, keys.slice(4))
  t.same((await told(alice, { StartAfter: 'a/', Delimiter: '/' })).prefixes, ['dir/', 'foo+1/', 'quux ab/'])
  t.same((await told(alice, { StartAfter: 'a/b', Delimiter: '/' })).prefixes, ['dir/', 'foo+1/', 'quux ab/'])
  t.same((await told(alice, { StartAfter: 'zzz\ue000' })).keys, ['\ue000', '\u{1f600}'])
  t.same((await told(alice, { StartAfter: '\u{1f600}' })).keys, [])
  t.same(await told(alice, { Prefix: 'a' }), { keys: keys.slice(0, 6), prefixes: [] })
  t.same(await told(alice, { Prefix: 'a/', Delimiter: '/' }), { keys: ['a/b'], prefixes: ['a/c/'] })
  t.same(await told(alice, { Prefix: 'a', Delimiter: '/' }), { keys: ['a!', 'a-b', 'a.txt', 'a0'], prefixes: ['a/'] })
  t.same(await told(alice, { Delimiter: 'b' }), {
    keys: ['a!', 'a.txt', 'a/c/d', 'a0', 'dir/', '\ue000', '\u{1f600}'],
    prefixes: ['a-b', 'a/b', 'foo+1/b', 'quux ab'],
  })
  t.same(await told(alice, { Prefix: 'dir/' }), { keys: ['dir/'], prefixes: [] })
  t.same(await told(alice, { Prefix: 'dir/', Delimiter: '/' }), { keys: ['dir/'], prefixes: [] })
  for (const Prefix of ['none', 'none/', '/', 'a//', '../', 'a/../', '\n', 'x'.repeat(2000)]) {
    t.same(await told(alice, { Prefix }), { keys: [], prefixes: [] }, JSON.stringify(Prefix.slice(0, 10)))
  }
})

t.test('keys are percent-encoded where the caller wants it', async (t) => {
  const { world } = await filled(t, ['asdf+b', 'foo+1/bar', 'foo/bar/xyzzy', 'quux ab/thud', 'new\nline', '<&>"'])
  const raw = await world.raw({
    as: 'alice',
    target: '/data?list-type=2&delimiter=%2F&encoding-type=url&start-after=%20',
  })
  t.equal(raw.status, 200)
  t.match(raw.headers, { 'content-type': 'application/xml' })
  const within = (name: string, text: string) =>
    [...text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, value]) => value)
  t.same(within('Key', raw.text), ['%3C%26%3E%22', 'asdf%2Bb', 'new%0Aline'])
  t.same(within('Prefix', raw.text), ['foo%2B1/', 'foo/', 'quux%20ab/'])
  t.same(within('Delimiter', raw.text), ['/'])
  t.same(within('StartAfter', raw.text), ['%20'])
  t.same(within('EncodingType', raw.text), ['url'])
  const plain = await world.raw({ as: 'alice', target: '/data?list-type=2' })
  t.same(within('Key', plain.text), [
    '&lt;&amp;&gt;&quot;',
    'asdf+b',
    'foo+1/bar',
    'foo/bar/xyzzy',
    'new&#10;line',
    'quux ab/thud',
  ])
  t.match(plain.text, '<Prefix/>')
  t.notMatch(plain.text, 'EncodingType')
})

t.test('a key that XML cannot write is told only in percent-encoding', async (t) => {
  const { world } = await filled(t, ['a\u0001b', 'c'])
  const target = '/data?list-type=2'
  t.match((await world.raw({ as: 'alice', target: `${target}&encoding-type=url` })).text, '<Key>a%01b</Key>')
  const plain = await world.raw({ as: 'alice', target })
  t.same([/<KeyCount>1</.test(plain.text), /<Key>c</.test(plain.text)], [true, true])
})

t.test('the first version of the API pages by markers and names owners', async (t) => {
  const { alice } = await filled(t, keys)
  const found: string[] = []
  let Marker: string | undefined
  for (;;) {
    const page = await alice.send(
      new ListObjectsCommand({ Bucket: 'data', MaxKeys: 2, Delimiter: '/', ...(Marker && { Marker }) }),
    )
    t.equal(page.Marker, Marker ?? '')
    for (const { Owner } of page.Contents ?? []) t.equal(Owner?.ID, 'portolan')
    found.push(
      ...(page.Contents ?? []).map(({ Key = '' }) => Key),
      ...(page.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix),
    )
    if (!page.IsTruncated) break
    Marker = page.NextMarker
  }
  t.same(found.toSorted(byBytes), [
    'a!',
    'a-b',
    'a.txt',
    'a/',
    'a0',
    'dir/',
    'foo+1/',
    'quux ab/',
    '\ue000',
    '\u{1f600}',
  ])
  // Without a delimiter clients go on behind the last key.
  const page = await alice.send(new ListObjectsCommand({ Bucket: 'data', Marker: 'a/b', MaxKeys: 1 }))
  t.same(
    page.Contents?.map(({ Key }) => Key),
    ['a/c/d'],
  )
  const owner = await alice.send(new ListObjectsV2Command({ Bucket: 'data', FetchOwner: true, MaxKeys: 1 }))
  t.equal(owner.Contents?.[0]?.Owner?.ID, 'portolan')
})

t.test('every object is its one version', async (t) => {
  const { alice } = await filled(t, keys)
  const found: string[] = []
  let KeyMarker: string | undefined
  let VersionIdMarker: string | undefined
  do {
    const page = await alice.send(
      new ListObjectVersionsCommand({ Bucket: 'data', MaxKeys: 3, ...(KeyMarker && { KeyMarker, VersionIdMarker }) }),
    )
    for (const version of page.Versions ?? []) {
      t.match(version, { VersionId: 'null', IsLatest: true, StorageClass: 'STANDARD' })
      found.push(version.Key ?? '')
    }
    KeyMarker = page.NextKeyMarker
    VersionIdMarker = page.NextVersionIdMarker
    t.equal(page.IsTruncated === true, KeyMarker !== undefined)
  } while (KeyMarker)
  t.same(found, keys)
  await t.rejects(alice.send(new ListObjectVersionsCommand({ Bucket: 'data', VersionIdMarker: 'null' })), {
    name: 'InvalidArgument',
  })
})

t.test('tokens are good for the bucket they were given for, unchanged', async (t) => {
  const { world, alice } = await filled(t, ['a', 'b', 'c'])
  const first = await alice.send(new ListObjectsV2Command({ Bucket: 'data', MaxKeys: 1 }))
  const token = first.NextContinuationToken ?? ''
  const at = async (world: S3World, bucket: string, ContinuationToken: string) => {
    const target = `/${bucket}?list-type=2&continuation-token=${encodeURIComponent(ContinuationToken)}&start-after=a`
    return world.raw({ as: 'alice', target })
  }
  const good = await at(world, 'data', token)
  t.match(good.text, '<Key>b</Key>')
  t.match(good.text, `<ContinuationToken>${token}</ContinuationToken>`)
  const other = await world.another()
  const there = await other.raw({ as: 'alice', target: `/data?list-type=2&continuation-token=${token}` })
  t.match(there.text, '<Key>b</Key>', 'in another process')
  const last = token.at(-1) === 'A' ? 'B' : 'A'
  for (const bad of [`${token.slice(0, -1)}${last}`, `${token}=`, token.slice(1), 'x', '\u0000', 'A'.repeat(5000)]) {
    const answer = await at(world, 'data', bad)
    t.same([answer.status, answer.code], [400, 'InvalidArgument'], JSON.stringify(bad.slice(0, 20)))
  }
  t.equal((await at(world, 'open', token)).code, 'InvalidArgument', 'of another bucket')
  const empty = await world.raw({ as: 'alice', target: '/data?list-type=2&continuation-token=' })
  t.match(empty.text, '<ContinuationToken/>')
  t.match(empty.text, '<KeyCount>3</KeyCount>')
})

t.test('what makes no sense is an InvalidArgument', async (t) => {
  const { world } = await filled(t, [])
  for (const query of [
    'list-type=2&max-keys=-1',
    'list-type=2&max-keys=x',
    'list-type=2&max-keys=99999999999',
    'max-keys=-1',
    'max-keys=1.5',
    'versions&max-keys=-1',
    'list-type=2&encoding-type=base64',
    'encoding-type=base64',
  ]) {
    const answer = await world.raw({ as: 'alice', target: `/data?${query}` })
    t.same([answer.status, answer.code], [400, 'InvalidArgument'], query)
  }
})

t.test('who may not list is refused, and sees no more than in other listings', async (t) => {
  const { world, alice } = await filled(t, ['a/b', 'c'])
  await t.rejects(told(world.client('bob')), { name: 'AccessDenied' })
  await t.rejects(told(world.client()), { name: 'AccessDenied' })
  await t.rejects(alice.send(new ListObjectsV2Command({ Bucket: 'none' })), { name: 'NoSuchBucket' })
  await t.rejects(alice.send(new ListObjectsCommand({ Bucket: 'none' })), { name: 'NoSuchBucket' })
  await alice.send(new PutObjectCommand({ Bucket: 'open', Key: 'x/y', Body: '1' }))
  const open = await world.client().send(new ListObjectsV2Command({ Bucket: 'open' }))
  t.same(
    open.Contents?.map(({ Key }) => Key),
    ['x/y'],
    'anonymous, where a mount allows it',
  )
  const lines = world.audit.records.filter(({ action, user }) => action === 'list' && user?.startsWith('bob'))
  t.match(lines, [{ outcome: 'refused', path: '/data', door: 's3' }])
})

t.test('thousands of objects come in pages of a thousand', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  await put(alice, 'd/0000')
  const names = Array.from({ length: 2100 }, (_, index) => `d/${String(index).padStart(4, '0')}`)
  const { copyFileSync } = await import('node:fs')
  const sys = await import('../../backends/posix/native/sys.ts')
  const { closeSync, openSync } = await import('node:fs')
  const from = openSync(world.file('/data/d/0000'), 'r')
  const acl = sys.fgetxattr(from, 'user.portolan.acl')
  closeSync(from)
  for (const name of names.slice(1)) {
    copyFileSync(world.file('/data/d/0000'), world.file(`/data/${name}`))
    const fd = openSync(world.file(`/data/${name}`), 'r')
    if (acl) sys.fsetxattr(fd, 'user.portolan.acl', acl, 0)
    closeSync(fd)
  }
  t.same(await paged(alice, {}), names)
  t.same(await paged(alice, { MaxKeys: 700, Prefix: 'd/1' }), names.slice(1000, 2000))
  const answer = await alice.send(new ListObjectsV2Command({ Bucket: 'data', Prefix: 'd/00', MaxKeys: 2 }))
  const [first, second] = (answer.Contents ?? []).map(({ ETag }) => ETag)
  t.match(first, /^"[0-9a-f]{32}"$/)
  t.match(second, /^"[0-9a-f-]+-0"$/, 'another door has made it')
})
