/** Parts in every way in which bodies come, senders that break off, and completions that race or take long. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type ClientRequest, createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import type { PartOperations } from '../../gateway/core/parts.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import type { Exchange } from '../../gateway/http/exchange.ts'
import { S3Error } from '../../gateway/s3/error.ts'
import { sendS3Error } from '../../gateway/s3/errors.ts'
import { answerLasting } from '../../gateway/s3/keep-alive.ts'
import type { ObjectRequest } from '../../gateway/s3/s3-request.ts'
import { sign } from './signing.ts'
import { keyOf, openS3, type S3Process, type S3World } from './world.ts'

async function begin(world: S3Process, key = 'key'): Promise<string> {
  const { text } = await world.raw({ method: 'POST', target: `/data/${key}?uploads`, as: 'alice' })
  return `/data/${key}?uploadId=${/<UploadId>([^<]+)</.exec(text)?.[1]}`
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex')
}

function listOf(...bodies: readonly string[]): string {
  const parts = bodies.map((body, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${md5(body)}</ETag></Part>`)
  return `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
}

/** What the storage does, but for some operations on parts. */
function withParts(storage: Storage, change: (parts: PartOperations) => Partial<PartOperations>): StorageOperations {
  const own = storage.parts
  const changed = change(own)
  const parts = new Proxy(own, {
    get: (target, name) => {
      const found: unknown = Reflect.get(name in changed ? changed : target, name)
      return typeof found === 'function' ? found.bind(target) : found
    },
  })
  return new Proxy(storage, {
    get: (target, name) => {
      if (name === 'parts') return parts
      const found: unknown = Reflect.get(target, name)
      return typeof found === 'function' ? found.bind(target) : found
    },
  })
}

t.test('a part comes in chunks with its checksum behind it', async (t) => {
  const world = await openS3(t)
  const upload = await begin(world)
  const send = (body: string, more: Readonly<Record<string, string>> = {}) =>
    world.raw({
      ...{ method: 'PUT', target: `${upload}&partNumber=1`, as: 'alice', body },
      payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      headers: {
        ...{ 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': '5' },
        ...{ 'x-amz-trailer': 'x-amz-checksum-crc32', ...more },
      },
    })
  const right = '5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n'
  const sent = await send(right)
  t.match(sent, { status: 200, headers: { etag: `"${md5('hello')}"`, 'x-amz-checksum-crc32': 'NhCmhg==' } })
  for (const [body, code] of [
    ['5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n', 'BadDigest'],
    ['5\r\nhello\r\n0\r\n\r\n', 'MalformedTrailerError'],
    ['5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:NhCmhg==\r\n\r\n', 'MalformedTrailerError'],
    ['4\r\nhell\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n', 'IncompleteBody'],
    ['6\r\nhello!\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n', 'IncompleteBody'],
  ] as const) {
    t.match(await send(body), { status: 400, code }, body)
  }
  t.match(await send(right, { 'x-amz-trailer': 'x-amz-meta-a' }), { status: 400, code: 'InvalidRequest' })
  const listed = await world.raw({ target: upload, as: 'alice' })
  t.match(listed.text, `<Part><PartNumber>1</PartNumber>`, 'the one that was acknowledged is still there')
  t.match(listed.text, md5('hello'))
})

/** The request for a part, without its body. */
function partRequest(world: S3World, upload: string, more: Readonly<Record<string, string>>): ClientRequest {
  const host = `127.0.0.1:${world.port}`
  const target = `${upload}&partNumber=1`
  const { headers } = sign({
    ...{ method: 'PUT', target, headers: { host }, payload: 'UNSIGNED-PAYLOAD', key: keyOf('alice') },
  })
  const sent = httpRequest({
    ...{ host: '127.0.0.1', port: world.port, method: 'PUT', path: target, agent: false },
    headers: { ...headers, ...more },
  })
  sent.on('error', () => {})
  return sent
}

t.test('a part whose sender breaks off does not count', async (t) => {
  const world = await openS3(t)
  const upload = await begin(world)
  await world.raw({ method: 'PUT', target: `${upload}&partNumber=1`, body: 'whole', as: 'alice' })
  const sent = partRequest(world, upload, { 'content-length': '1000' })
  sent.write('some')
  await once(sent, 'socket')
  await pause(50)
  sent.destroy()
  const done = await world.raw({ method: 'POST', target: upload, body: listOf('whole'), as: 'alice' })
  t.equal(done.status, 200, done.text)
  t.equal((await world.raw({ target: '/data/key', as: 'alice' })).text, 'whole')
})

t.test('a part tells its length', async (t) => {
  const world = await openS3(t)
  const sent = partRequest(world, await begin(world), { 'transfer-encoding': 'chunked' })
  sent.end('some')
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  t.equal(response.statusCode, 411)
  t.match(await text(response), '<Code>MissingContentLength</Code>')
})

t.test('of completions at once, through two processes, each says the same or that it is not its turn', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const other = await world.another()
  for (let round = 0; round < 5; round++) {
    const upload = await begin(world, `key${round}`)
    const put = { method: 'PUT', body: 'one', as: 'alice' } as const
    await other.raw({ ...put, target: `${upload}&partNumber=1` })
    const answers = await Promise.all(
      [world, other, world, other].map((each) =>
        each.raw({ method: 'POST', target: upload, body: listOf('one'), as: 'alice' }),
      ),
    )
    const right = answers.filter(({ status }) => status === 200)
    t.ok(right.length > 0, 'one of them at least')
    for (const { text } of right) t.match(text, '<ETag>&quot;')
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      t.match(answer, { status: 503, code: 'SlowDown' }, answer.text)
    }
    t.equal((await world.raw({ target: `/data/key${round}`, as: 'alice' })).text, 'one')
  }
})

t.test('a part that was sent again meanwhile is not the one that was listed', async (t) => {
  const complete =
    (parts: PartOperations): PartOperations['complete'] =>
    async (call, id, chosen, options) => {
      const writing = await parts.write(call, id, 1, { size: 5, digests: ['md5'] })
      writing.body.end('other')
      await once(writing.body, 'finish')
      await writing.commit()
      return parts.complete(call, id, chosen, options)
    }
  const world = await openS3(t, { around: (storage) => withParts(storage, (parts) => ({ complete: complete(parts) })) })
  const upload = await begin(world)
  await world.raw({ method: 'PUT', target: `${upload}&partNumber=1`, body: 'first', as: 'alice' })
  const done = await world.raw({ method: 'POST', target: upload, body: listOf('first'), as: 'alice' })
  t.match(done, { status: 400, code: 'InvalidPart' }, done.text)
})

/** Answers a request with what `work` comes to, with a sign of life every few milliseconds. */
async function answered(t: Test, work: () => Promise<string>) {
  const failed: unknown[] = []
  const server = createServer((request, response) => {
    const connection = { broken: false, signal: new AbortController().signal }
    const x = { request, response, connection, id: 'call', hasBody: false, failureOf: StorageError.from }
    const asked = { x, bucket: { name: 'b' }, key: 'k', method: 'POST' } as unknown as ObjectRequest
    answerLasting(asked, 'Result', work, 5).catch(async (error: unknown) => {
      failed.push(error)
      await sendS3Error(x as unknown as Exchange, error, { bucket: 'b', key: 'k' })
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST' })
  return { status: answer.status, text: await answer.text(), failed }
}

t.test('answers that take long begin before their outcome is known', async (t) => {
  const late = async () => {
    await pause(60)
    return '<A/>'
  }
  const soon = await answered(t, async () => '<A/>')
  t.match(soon, { status: 200, text: /^<\?xml [^>]*>\n<Result xmlns="[^"]*"><A\/><\/Result>$/ })
  const lasting = await answered(t, late)
  t.match(lasting, { status: 200, text: /^<\?xml [^>]*>\n +<Result xmlns="[^"]*"><A\/><\/Result>$/ })
  const refused = await answered(t, async () => {
    throw new S3Error('InvalidPart', 'no such part', { elements: { PartNumber: '1' } })
  })
  t.match(refused, { status: 400, text: '<Code>InvalidPart</Code>' })
  const failed = await answered(t, async () => {
    await late()
    throw new StorageError('no-space', 'full')
  })
  t.match(failed, { status: 200, failed: [{ code: 'no-space' }] }, 'the log is told')
  t.match(failed.text, /^<\?xml [^>]*>\n +<Error><Code>InsufficientStorage<\/Code>.*<\/Error>$/)
})
