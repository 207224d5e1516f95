/** Uploads in parts, as the SDK sends them: over memory, and over a directory tree. */

import { createHash, randomBytes } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  GetObjectCommand,
  HeadObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { DigestSet } from '../../gateway/core/digests.ts'
import { openS3 } from './world.ts'

const part = 5 * 1024 ** 2
const Bucket = 'data'

function md5(bytes: Uint8Array): Buffer {
  return createHash('md5').update(bytes).digest()
}

function etagOf(parts: readonly Uint8Array[]): string {
  return `"${md5(Buffer.concat(parts.map(md5))).toString('hex')}-${parts.length}"`
}

async function begin(client: S3Client, Key: string, more: Partial<CreateMultipartUploadCommandInput> = {}) {
  const { UploadId = '' } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }))
  return { Bucket, Key, UploadId }
}

type Begun = Awaited<ReturnType<typeof begin>>

async function send(client: S3Client, upload: Begun, PartNumber: number, Body: Uint8Array): Promise<CompletedPart> {
  const { ETag, ChecksumCRC32 } = await client.send(new UploadPartCommand({ ...upload, PartNumber, Body }))
  return { PartNumber, ETag, ...(ChecksumCRC32 !== undefined && { ChecksumCRC32 }) }
}

function finish(client: S3Client, upload: Begun, Parts: CompletedPart[]) {
  return client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }))
}

async function read(client: S3Client, Key: string): Promise<Buffer> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

async function refusal(t: Test, sent: Promise<unknown>, name: string, status: number): Promise<void> {
  await t.rejects(sent, { name, $metadata: { httpStatusCode: status } }, `${name} ${status}`)
}

for (const storage of ['memory', 'posix'] as const) {
  t.test(`parts become an object (${storage})`, async (t) => {
    const world = await openS3(t, { storage })
    const client = world.client('alice')

    t.test('in whatever order they come, and also again', async (t) => {
      const upload = await begin(client, 'dir/sub/whole', {
        ContentType: 'text/x-parts',
        Metadata: { colour: 'blue' },
        Tagging: 'a=b',
        ChecksumAlgorithm: 'CRC32',
      })
      const bodies = [randomBytes(part), randomBytes(part), randomBytes(1000)]
      const [first, second, third] = bodies as [Buffer, Buffer, Buffer]
      const three = await send(client, upload, 3, third)
      await send(client, upload, 1, randomBytes(part + 1))
      const [two, one] = await Promise.all([send(client, upload, 2, second), send(client, upload, 1, first)])
      await send(client, upload, 9, randomBytes(10))
      await refusal(t, client.send(new HeadObjectCommand({ Bucket, Key: upload.Key })), 'NotFound', 404)
      const done = await finish(client, upload, [one, two, three])
      t.equal(done.ETag, etagOf(bodies))
      t.equal(done.Location, `${world.url}/data/dir/sub/whole`)
      t.equal(done.ChecksumType, 'COMPOSITE')
      t.match(done.ChecksumCRC32, /^[A-Za-z0-9+/]{6}==-3$/)
      t.ok((await read(client, upload.Key)).equals(Buffer.concat(bodies)))
      const head = await client.send(new HeadObjectCommand({ Bucket, Key: upload.Key, ChecksumMode: 'ENABLED' }))
      t.match(head, {
        ETag: done.ETag,
        ContentType: 'text/x-parts',
        Metadata: { colour: 'blue' },
        ContentLength: part * 2 + 1000,
        ChecksumCRC32: done.ChecksumCRC32,
      })
      const middle = await client.send(new GetObjectCommand({ Bucket, Key: upload.Key, PartNumber: 2 }))
      t.equal(middle.PartsCount, 3)
      t.ok(Buffer.from((await middle.Body?.transformToByteArray()) ?? []).equals(second))
      const again = await finish(client, upload, [one, two, three])
      t.match(again, { ETag: done.ETag, ChecksumCRC32: done.ChecksumCRC32 }, 'who repeats it is told the same')
      await refusal(t, send(client, upload, 4, third), 'NoSuchUpload', 404)
      await refusal(t, client.send(new ListPartsCommand(upload)), 'NoSuchUpload', 404)
    })

    t.test('with sizes that all differ, and a single one', async (t) => {
      const upload = await begin(client, 'uneven')
      const bodies = [part + 7, part, part + 4096, 1].map((size) => randomBytes(size))
      const parts = await Promise.all(bodies.map((body, at) => send(client, upload, at * 10 + 1, body)))
      t.equal((await finish(client, upload, parts)).ETag, etagOf(bodies))
      t.ok((await read(client, upload.Key)).equals(Buffer.concat(bodies)))
      const small = await begin(client, 'small')
      const only = await send(client, small, 1, Buffer.from('hello'))
      t.equal((await finish(client, small, [only])).ETag, etagOf([Buffer.from('hello')]))
      const empty = await begin(client, 'empty')
      const none = await send(client, empty, 1, Buffer.of())
      t.match((await finish(client, empty, [none])).ETag, /^"[0-9a-f]{32}-1"$/)
      t.equal((await read(client, 'empty')).length, 0)
    })

    t.test('with checksums of every kind', async (t) => {
      const bodies = [randomBytes(part), randomBytes(11)]
      const whole = Buffer.concat(bodies)
      for (const [algorithm, type, kind] of [
        ['CRC32', 'COMPOSITE', 'crc32'],
        ['CRC32', 'FULL_OBJECT', 'crc32'],
        ['CRC32C', 'COMPOSITE', 'crc32c'],
        ['CRC32C', 'FULL_OBJECT', 'crc32c'],
        ['CRC64NVME', 'FULL_OBJECT', 'crc64nvme'],
        ['SHA1', 'COMPOSITE', 'sha-1'],
        ['SHA256', 'COMPOSITE', 'sha-256'],
      ] as const) {
        const digest = (...pieces: readonly Uint8Array[]) => {
          const set = new DigestSet([kind])
          for (const piece of pieces) set.update(piece)
          return Buffer.from(set.finish()[kind] ?? [])
        }
        const field = `Checksum${algorithm}` as const
        const upload = await begin(client, `sum-${algorithm}-${type}`, {
          ChecksumAlgorithm: algorithm,
          ChecksumType: type,
        })
        const parts: CompletedPart[] = []
        for (const [at, Body] of bodies.entries()) {
          const told = { [field]: digest(Body).toString('base64') }
          const sent = await client.send(new UploadPartCommand({ ...upload, PartNumber: at + 1, Body, ...told }))
          t.equal(sent[field], told[field], 'the part')
          parts.push({ PartNumber: at + 1, ETag: sent.ETag, ...told })
        }
        const listed = await client.send(new ListPartsCommand(upload))
        t.match(listed, { ChecksumAlgorithm: algorithm, ChecksumType: type })
        t.equal(listed.Parts?.[0]?.[field], parts[0]?.[field])
        const expected =
          type === 'FULL_OBJECT'
            ? digest(whole).toString('base64')
            : `${digest(...bodies.map((body) => digest(body))).toString('base64')}-2`
        const wrong = `${digest(Buffer.from('other')).toString('base64')}`
        const finished = (value: string) =>
          client.send(
            new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: parts }, [field]: value }),
          )
        await refusal(t, finished(wrong), 'BadDigest', 400)
        const done = await finished(expected)
        t.match(done, { [field]: expected, ChecksumType: type }, `${algorithm} ${type}`)
        const head = await client.send(new HeadObjectCommand({ Bucket, Key: upload.Key, ChecksumMode: 'ENABLED' }))
        t.match(head, { [field]: expected, ChecksumType: type })
      }
    })

    t.test('copied from objects', async (t) => {
      const source = randomBytes(part + 100)
      await client.send(new PutObjectCommand({ Bucket, Key: 'source é+', Body: source }))
      const upload = await begin(client, 'copied', { ChecksumAlgorithm: 'CRC32' })
      const copy = (PartNumber: number, CopySourceRange?: string, more: object = {}) =>
        client.send(
          new UploadPartCopyCommand({
            ...{ ...upload, PartNumber, CopySource: 'data/source%20%C3%A9%2B' },
            ...(CopySourceRange !== undefined && { CopySourceRange }),
            ...more,
          }),
        )
      const head = await client.send(new HeadObjectCommand({ Bucket, Key: 'source é+' }))
      const one = await copy(1, undefined, { CopySourceIfMatch: head.ETag })
      const two = await copy(2, 'bytes=5-9')
      t.equal(one.CopyPartResult?.ETag, `"${md5(source).toString('hex')}"`)
      t.equal(two.CopyPartResult?.ETag, `"${md5(source.subarray(5, 10)).toString('hex')}"`)
      t.ok(one.CopyPartResult?.LastModified)
      await refusal(t, copy(3, 'bytes=0-9999999'), 'InvalidArgument', 400)
      await refusal(t, copy(3, 'bytes=9-5'), 'InvalidArgument', 400)
      await refusal(t, copy(3, 'bytes=-5'), 'InvalidArgument', 400)
      await refusal(t, copy(0), 'InvalidArgument', 400)
      await refusal(t, copy(3, undefined, { CopySourceIfMatch: '"other"' }), 'PreconditionFailed', 412)
      await refusal(t, copy(3, undefined, { CopySourceIfNoneMatch: head.ETag }), 'PreconditionFailed', 412)
      await refusal(t, copy(3, undefined, { CopySource: 'data/absent' }), 'NoSuchKey', 404)
      await refusal(t, copy(3, undefined, { CopySource: 'absent/absent' }), 'NoSuchBucket', 404)
      const done = await finish(client, upload, [
        { PartNumber: 1, ETag: one.CopyPartResult?.ETag, ChecksumCRC32: one.CopyPartResult?.ChecksumCRC32 },
        { PartNumber: 2, ETag: two.CopyPartResult?.ETag },
      ])
      t.equal(done.ETag, etagOf([source, source.subarray(5, 10)]))
      t.ok((await read(client, 'copied')).equals(Buffer.concat([source, source.subarray(5, 10)])))
    })

    t.test('only where the conditions hold', async (t) => {
      const bodies = [Buffer.from('new')]
      const begun = async (Key: string) => {
        const upload = await begin(client, Key)
        return { ...upload, MultipartUpload: { Parts: [await send(client, upload, 1, bodies[0] ?? Buffer.of())] } }
      }
      const absent = await begun('conditional')
      const match = { ...absent, IfMatch: '"x"' }
      await refusal(t, client.send(new CompleteMultipartUploadCommand(match)), 'NoSuchKey', 404)
      await client.send(new CompleteMultipartUploadCommand({ ...absent, IfNoneMatch: '*' }))
      const there = await begun('conditional')
      const none = { ...there, IfNoneMatch: '*' }
      await refusal(t, client.send(new CompleteMultipartUploadCommand(none)), 'PreconditionFailed', 412)
      const other = { ...there, IfMatch: '"other"' }
      await refusal(t, client.send(new CompleteMultipartUploadCommand(other)), 'PreconditionFailed', 412)
      const right = { ...there, IfMatch: etagOf(bodies) }
      await client.send(new CompleteMultipartUploadCommand(right))
    })

    t.test('or leave no trace', async (t) => {
      const upload = await begin(client, 'given-up')
      await send(client, upload, 1, randomBytes(1000))
      await client.send(new AbortMultipartUploadCommand(upload))
      await refusal(t, client.send(new AbortMultipartUploadCommand(upload)), 'NoSuchUpload', 404)
      await refusal(t, send(client, upload, 1, Buffer.of(1)), 'NoSuchUpload', 404)
      await refusal(t, finish(client, upload, [{ PartNumber: 1, ETag: '"x"' }]), 'NoSuchUpload', 404)
      await refusal(t, client.send(new HeadObjectCommand({ Bucket, Key: 'given-up' })), 'NotFound', 404)
    })
  })
}
