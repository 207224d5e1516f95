/** ListParts and ListMultipartUploads: pages, prefixes, delimiters, encodings, and whose uploads are told. */

import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListPartsCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { openS3 } from './world.ts'

const Bucket = 'data'

async function begin(client: S3Client, Key: string): Promise<string> {
  const { UploadId = '' } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
  return UploadId
}

function told({ Uploads = [], CommonPrefixes = [] }: ListMultipartUploadsCommandOutput) {
  return { keys: Uploads.map(({ Key }) => Key), prefixes: CommonPrefixes.map(({ Prefix }) => Prefix) }
}

t.test('parts are listed page by page', async (t) => {
  const world = await openS3(t)
  const client = world.client('alice')
  const UploadId = await begin(client, 'key')
  const asked = { Bucket, Key: 'key', UploadId }
  t.match(await client.send(new ListPartsCommand(asked)), { IsTruncated: false, MaxParts: 1000 })
  for (const PartNumber of [7, 1, 10_000, 3]) {
    await client.send(new UploadPartCommand({ ...asked, PartNumber, Body: 'x'.repeat(PartNumber % 10) }))
  }
  const first = await client.send(new ListPartsCommand({ ...asked, MaxParts: 2 }))
  t.match(first, { IsTruncated: true, NextPartNumberMarker: '3', MaxParts: 2, Bucket, Key: 'key', UploadId })
  t.match(first, { Owner: { ID: 'portolan' }, Initiator: { ID: 'portolan' }, StorageClass: 'STANDARD' })
  t.same(
    first.Parts?.map(({ PartNumber, Size, ETag }) => [PartNumber, Size, ETag]),
    [
      [1, 1, '"9dd4e461268c8034f5c8564e155c67a6"'],
      [3, 3, '"f561aaf6ef0bf14d4208bb46a4ccb3ad"'],
    ],
  )
  t.ok((first.Parts?.[0]?.LastModified?.getTime() ?? 0) > Date.now() - 60_000)
  const marker = first.NextPartNumberMarker
  const second = await client.send(new ListPartsCommand({ ...asked, MaxParts: 2, PartNumberMarker: marker }))
  t.match(second, { IsTruncated: false, PartNumberMarker: '3', NextPartNumberMarker: '10000' })
  t.same(
    second.Parts?.map(({ PartNumber }) => PartNumber),
    [7, 10_000],
  )
  const none = await client.send(new ListPartsCommand({ ...asked, MaxParts: 0 }))
  t.match(none, { IsTruncated: false, Parts: undefined })
  for (const query of ['max-parts=-1', 'max-parts=x', 'part-number-marker=-1', 'part-number-marker=99999999999']) {
    const target = `/data/key?uploadId=${UploadId}&${query}`
    t.match(await world.raw({ target, as: 'alice' }), { status: 400, code: 'InvalidArgument' }, query)
  }
})

t.test('uploads are listed in the order of their keys', async (t) => {
  const world = await openS3(t)
  const client = world.client('alice')
  const list = (more: object = {}) => client.send(new ListMultipartUploadsCommand({ Bucket, ...more }))
  const keys = ['b', 'a/2', 'a/1/x', 'a.txt', 'ä+ b', '\u{1f600}', '\uffee', 'a/2', 'dir/sub/key']
  const ids: string[] = []
  for (const key of keys) ids.push(await begin(client, key))
  const order = ['a.txt', 'a/1/x', 'a/2', 'a/2', 'b', 'dir/sub/key', 'ä+ b', '\uffee', '\u{1f600}']
  const all = await list()
  t.same(told(all), { keys: order, prefixes: [] })
  t.match(all, { IsTruncated: false, MaxUploads: 1000, Bucket })
  t.same(
    all.Uploads?.filter(({ Key }) => Key === 'a/2').map(({ UploadId }) => UploadId),
    [ids[1], ids[7]],
    'the older one first',
  )
  t.match(all.Uploads?.[0], { Owner: { ID: 'portolan' }, StorageClass: 'STANDARD' })

  t.test('in pages of every size', async (t) => {
    for (const MaxUploads of [1, 2, 3, 8, 9]) {
      const seen: (string | undefined)[] = []
      let page = await list({ MaxUploads })
      for (let pages = 1; pages <= order.length; pages++) {
        seen.push(...told(page).keys)
        if (!page.IsTruncated) break
        page = await list({ MaxUploads, KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker })
      }
      t.same(seen, order, `${MaxUploads}`)
    }
    t.same(told(await list({ MaxUploads: 0 })), { keys: [], prefixes: [] })
  })

  t.test('below a prefix', async (t) => {
    t.same(told(await list({ Prefix: 'a' })).keys, ['a.txt', 'a/1/x', 'a/2', 'a/2'])
    t.same(told(await list({ Prefix: 'a/' })).keys, ['a/1/x', 'a/2', 'a/2'])
    t.same(told(await list({ Prefix: 'a/2' })).keys, ['a/2', 'a/2'])
    for (const Prefix of ['c', 'a//', '/', '../', 'a/2/']) t.same(told(await list({ Prefix })).keys, [], Prefix)
  })

  t.test('behind a marker', async (t) => {
    t.same(told(await list({ KeyMarker: 'a/2' })).keys, ['b', 'dir/sub/key', 'ä+ b', '\uffee', '\u{1f600}'])
    t.same(told(await list({ KeyMarker: 'a/' })).keys.length, 8)
    t.same(told(await list({ KeyMarker: 'a//b' })).keys.length, 8)
    t.same(told(await list({ KeyMarker: 'a/2', UploadIdMarker: ids[1] })).keys.slice(0, 2), ['a/2', 'b'])
    t.same(told(await list({ KeyMarker: '\u{1f600}' })).keys, [])
  })

  t.test('with a delimiter', async (t) => {
    const grouped = await list({ Delimiter: '/' })
    t.same(told(grouped), { keys: ['a.txt', 'b', 'ä+ b', '\uffee', '\u{1f600}'], prefixes: ['a/', 'dir/'] })
    t.same(told(await list({ Delimiter: '/', Prefix: 'a/' })), { keys: ['a/2', 'a/2'], prefixes: ['a/1/'] })
    t.same(told(await list({ Delimiter: '.t' })).prefixes, ['a.t'])
    const seen: unknown[] = []
    let page = await list({ Delimiter: '/', MaxUploads: 1 })
    for (let pages = 1; pages < 20; pages++) {
      seen.push(...told(page).keys, ...told(page).prefixes)
      if (!page.IsTruncated) break
      const markers = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
      page = await list({ Delimiter: '/', MaxUploads: 1, ...markers })
    }
    t.same(seen, ['a.txt', 'a/', 'b', 'dir/', 'ä+ b', '\uffee', '\u{1f600}'])
  })

  t.test('in an encoding that XML can hold', async (t) => {
    const { text } = await world.raw({ target: '/data?uploads&encoding-type=url&prefix=%C3%A4%2B', as: 'alice' })
    t.match(text, '<Key>%C3%A4%2B%20b</Key>')
    t.match(text, '<Prefix>%C3%A4%2B</Prefix>')
    for (const query of ['encoding-type=base64', 'max-uploads=-1', 'max-uploads=x']) {
      const answer = await world.raw({ target: `/data?uploads&${query}`, as: 'alice' })
      t.match(answer, { status: 400, code: 'InvalidArgument' }, query)
    }
  })

  t.test('to nobody but who has begun them', async (t) => {
    await begin(world.client('carol'), 'carols')
    t.same(told(await world.client('carol').send(new ListMultipartUploadsCommand({ Bucket }))).keys, ['carols'])
    t.same(told(await list()).keys, order)
    const target = '/open?uploads'
    t.match(await world.raw({ target }), { status: 200 })
  })
})
