/** Objects that came in parts, read part by part (Amazon S3 API Reference: GetObject, GetObjectAttributes). */

import { createHash, randomBytes } from 'node:crypto'
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { refusal } from './refusal.ts'
import { openS3 } from './world.ts'

const Bucket = 'data'
const Key = 'in parts'

t.test('parts are told apart after they have been joined', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  const bytes = [5 * 1024 ** 2, 5 * 1024 ** 2, 7].map((size) => randomBytes(size))
  const create = new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: 'SHA256', Metadata: { a: 'b' } })
  const { UploadId } = await alice.send(create)
  const Parts = []
  for (const [index, Body] of bytes.entries()) {
    const PartNumber = index + 1
    const part = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ChecksumAlgorithm: 'SHA256' })
    const { ETag, ChecksumSHA256 } = await alice.send(part)
    Parts.push({ PartNumber, ETag, ChecksumSHA256 })
  }
  const complete = new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } })
  const { ETag = '' } = await alice.send(complete)
  const md5s = bytes.map((each) => createHash('md5').update(each).digest())
  t.equal(ETag, `"${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-3"`)
  const get = (PartNumber: number) =>
    alice.send(new GetObjectCommand({ Bucket, Key, PartNumber, ChecksumMode: 'ENABLED' }))
  for (const [index, part] of bytes.entries()) {
    const got = await get(index + 1)
    t.match(got, { ETag, PartsCount: 3, ContentLength: part.length, Metadata: { a: 'b' } })
    t.equal(got.$metadata.httpStatusCode, 206)
    t.equal(got.ChecksumSHA256, createHash('sha256').update(part).digest('base64'))
    t.ok(part.equals((await got.Body?.transformToByteArray()) ?? Buffer.alloc(0)))
  }
  t.equal(await refusal(get(4)), '416 InvalidPartNumber')
  const whole = await alice.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
  t.match(whole, { ETag, ContentLength: 10 * 1024 ** 2 + 7, ChecksumType: 'COMPOSITE', ChecksumSHA256: /-3$/ })
  t.equal(whole.PartsCount, undefined)
  const head = await alice.send(new HeadObjectCommand({ Bucket, Key, PartNumber: 3 }))
  t.match(head, { PartsCount: 3, ContentLength: 7 })
  const attributes = await alice.send(
    new GetObjectAttributesCommand({
      Bucket,
      Key,
      ObjectAttributes: ['ObjectParts'],
      MaxParts: 2,
      PartNumberMarker: '0',
    }),
  )
  t.match(attributes.ObjectParts, { TotalPartsCount: 3, IsTruncated: true, NextPartNumberMarker: '2', MaxParts: 2 })
  t.same(
    attributes.ObjectParts?.Parts?.map(({ PartNumber, Size, ChecksumSHA256 }) => [PartNumber, Size, ChecksumSHA256]),
    Parts.slice(0, 2).map(({ PartNumber, ChecksumSHA256 }) => [PartNumber, 5 * 1024 ** 2, ChecksumSHA256]),
  )
  const copy = await alice.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: 'data/in%20parts' }))
  t.equal(copy.CopyObjectResult?.ETag, ETag, 'the same bytes')
  t.match(await alice.send(new HeadObjectCommand({ Bucket, Key: 'copy', PartNumber: 3 })), { PartsCount: 3, ETag })
})
