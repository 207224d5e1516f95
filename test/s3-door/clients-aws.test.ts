/** The AWS command line at the S3 door: copies, trees, signed URLs, buckets. */

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, utimesSync } from 'node:fs'
import t from 'tap'
import { Desk, filesBelow, startForPrograms, without } from './programs.ts'

t.setTimeout(280_000)

const skip = without('aws')
if (skip) t.plan(0, skip)
const gateway = await startForPrograms(t)

t.test('a file of 20 MB goes there and back in parts', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  const content = randomBytes(20_000_000)
  const file = desk.write('in', content)
  await desk.aws(t, 's3', 'cp', '--no-progress', file, 's3://mine/aws/in')
  t.ok(desk.stored('/lab/alice/aws/in').equals(content))
  const head = JSON.parse(await desk.aws(t, 's3api', 'head-object', '--bucket', 'mine', '--key', 'aws/in'))
  t.equal(head.ContentLength, content.length)
  t.match(head.ETag, /^"[0-9a-f]{32}-3"$/)
  await desk.aws(t, 's3', 'cp', '--no-progress', 's3://mine/aws/in', 's3://p01/aws/copy')
  await desk.aws(t, 's3', 'cp', '--no-progress', 's3://p01/aws/copy', 'back')
  t.ok(desk.read('back').equals(content))
  const listed = await desk.aws(t, 's3', 'ls', 's3://mine/aws/')
  t.match(listed, / 20000000 in\n$/)
  t.match(await desk.aws(t, 's3', 'ls', 's3://mine'), / PRE aws\/\n/)
  t.match(await desk.aws(t, 's3', 'ls'), /lab\n.*mine\n.*p01\n/)
})

t.test('through pipes, and moved', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  desk.write('note', 'written by aws\n')
  await desk.aws(t, 's3', 'mv', '--no-progress', 'note', 's3://mine/moved/note with space & ü')
  t.notOk(existsSync(desk.path('note')))
  t.equal(await desk.aws(t, 's3', 'cp', 's3://mine/moved/note with space & ü', '-'), 'written by aws\n')
  const byWebDav = await gateway.get(`/lab/alice/moved/${encodeURIComponent('note with space & ü')}`, 'alice')
  t.equal(byWebDav.text, 'written by aws\n')
  await desk.aws(t, 's3', 'mv', '--no-progress', 's3://mine/moved/note with space & ü', 's3://mine/moved/b')
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/moved`), ['b'])
})

t.test('a tree is synchronised both ways, and only what changed is sent', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  for (let at = 0; at < 60; at++) desk.write(`tree/${at % 7}/d${at % 3}/file-${at}`, `content ${at}`)
  desk.write('tree/0/ü/ %41+&.txt', 'odd name')
  desk.write('tree/empty', '')
  // S3 tells whole seconds: what is sent within the second of its making looks newer here than there.
  const before = new Date(Date.now() - 60_000)
  for (const name of filesBelow(desk.path('tree'))) utimesSync(desk.path(`tree/${name}`), before, before)
  await desk.aws(t, 's3', 'sync', '--no-progress', 'tree', 's3://mine/sync')
  const names = filesBelow(desk.path('tree'))
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/sync`), names)
  t.equal(await desk.aws(t, 's3', 'sync', '--no-progress', 'tree', 's3://mine/sync'), '', 'nothing is sent twice')
  await desk.aws(t, 's3', 'sync', '--no-progress', 's3://mine/sync', 'back')
  t.same(filesBelow(desk.path('back')), names)
  for (const name of names) t.ok(desk.read(`back/${name}`).equals(desk.read(`tree/${name}`)), name)
  desk.write('tree/empty', 'not any more')
  const second = await desk.aws(t, 's3', 'sync', '--no-progress', '--delete', 'tree', 's3://mine/sync')
  t.equal(second.trim().split('\n').length, 1)
  t.equal((await gateway.put('/lab/alice/sync/by-webdav', 'alice', 'by WebDAV')).status, 201)
  const third = await desk.aws(t, 's3', 'sync', '--no-progress', 's3://mine/sync', 'back')
  t.match(third, /by-webdav/)
  t.equal(desk.read('back/by-webdav').toString(), 'by WebDAV')
  const deleted = await desk.aws(t, 's3', 'sync', '--no-progress', '--delete', 'tree', 's3://mine/sync')
  t.match(deleted, /^delete: s3:\/\/mine\/sync\/by-webdav\n$/)
  await desk.aws(t, 's3', 'rm', '--recursive', 's3://mine/sync')
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/sync`), [])
})

t.test('a signed URL needs no key', { skip: skip || without('curl') }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  desk.write('in', 'for whoever has the URL')
  await desk.aws(t, 's3', 'cp', '--no-progress', 'in', 's3://mine/presigned')
  const url = (await desk.aws(t, 's3', 'presign', 's3://mine/presigned', '--expires-in', '60')).trim()
  t.equal(await desk.done(t, 'curl', '-sSf', url), 'for whoever has the URL')
  const spoilt = await desk.run('curl', '-sS', '-w', '%{http_code}', url.replace('presigned?', 'other?'))
  t.match(spoilt.out, /<Code>SignatureDoesNotMatch<\/Code>.*403$/s)
})

t.test('buckets are made and removed', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  await desk.aws(t, 's3', 'mb', 's3://made-by-alice')
  desk.write('a', 'a')
  await desk.aws(t, 's3', 'cp', '--no-progress', 'a', 's3://made-by-alice/x/y/a')
  const full = await desk.run('aws', '--endpoint-url', gateway.s3Url, 's3', 'rb', 's3://made-by-alice')
  t.equal(full.status, 1)
  t.match(full.err, /BucketNotEmpty/)
  const bob = new Desk(t, gateway, 'bob')
  const taken = await bob.run('aws', '--endpoint-url', gateway.s3Url, 's3', 'mb', 's3://made-by-alice')
  t.match(taken.err, /BucketAlreadyExists/)
  await desk.aws(t, 's3', 'rb', '--force', 's3://made-by-alice')
  t.same(
    readdirSync(gateway.tree('/objects')).filter((name) => !name.startsWith('.')),
    [],
  )
})

t.test('everything else that scripts ask s3api', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  desk.write('in', 'tagged')
  const at = ['--bucket', 'mine', '--key', 'api/object']
  const api = (operation: string, ...args: string[]) => desk.aws(t, 's3api', operation, ...args)
  const put = JSON.parse(
    await api(
      'put-object',
      ...at,
      '--body',
      'in',
      '--metadata',
      'a=b',
      '--tagging',
      'k=v',
      '--checksum-algorithm',
      'SHA256',
    ),
  )
  t.match(put.ChecksumSHA256, /^[A-Za-z0-9+/]{43}=$/)
  t.match(JSON.parse(await api('get-object', ...at, '--checksum-mode', 'ENABLED', 'out')), {
    ...{ Metadata: { a: 'b' }, TagCount: 1, ChecksumSHA256: put.ChecksumSHA256, ETag: put.ETag },
  })
  t.same(JSON.parse(await api('get-object-tagging', ...at)).TagSet, [{ Key: 'k', Value: 'v' }])
  const attributes = await api('get-object-attributes', ...at, '--object-attributes', 'ETag', 'Checksum', 'ObjectSize')
  t.match(JSON.parse(attributes), { ObjectSize: 6, Checksum: { ChecksumSHA256: put.ChecksumSHA256 } })
  await api('head-bucket', '--bucket', 'mine')
  t.match(JSON.parse(await api('get-bucket-location', '--bucket', 'mine')), { LocationConstraint: null })
  t.match(JSON.parse((await api('get-bucket-versioning', '--bucket', 'mine')) || '{}'), {})
  const range = await api('get-object', ...at, '--range', 'bytes=1-2', 'part')
  t.match(JSON.parse(range), { ContentRange: 'bytes 1-2/6', ContentLength: 2 })
  t.equal(desk.read('part').toString(), 'ag')
  await api('delete-object', ...at)
  const missing = await desk.run('aws', '--endpoint-url', gateway.s3Url, 's3api', 'get-object', ...at, 'out')
  t.match(missing.err, /NoSuchKey/)
})
