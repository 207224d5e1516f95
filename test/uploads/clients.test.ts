/** tus-js-client, as it is published, against a gateway behind a network that breaks. */

import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { DefaultHttpStack, type DetailedError, Upload, type UploadOptions } from 'tus-js-client'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { CuttingProxy } from './cutting.ts'

t.setTimeout(300_000)

const mib = 1024 * 1024
const never = Number.POSITIVE_INFINITY

interface World {
  readonly gateway: TestGateway
  readonly proxy: CuttingProxy
}

/** The gateway is reached through the proxy, which is its public address. */
async function open(t: Test): Promise<World> {
  const known: { gateway?: TestGateway } = {}
  const proxy = await CuttingProxy.open(t, () => known.gateway?.port ?? 0)
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
    workers: 2,
    more: { publicUrl: proxy.url },
  })
  known.gateway = gateway
  return { gateway, proxy }
}

interface Ended {
  readonly upload: Upload
  /** What it failed with, in a line. */
  readonly error: string | undefined
  readonly answer: DetailedError['originalResponse'] | undefined
}

type Content = ConstructorParameters<typeof Upload>[0]

/** One upload as alice; `onto` sees it before it starts. */
async function run(
  { gateway, proxy }: World,
  content: Content | Readable,
  options: UploadOptions,
  onto: (upload: Upload) => void = () => {},
): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Error | undefined>()
  const upload = new Upload(content as Content, {
    endpoint: `${proxy.url}/.portolan/uploads/`,
    headers: { Authorization: `Bearer ${await gateway.standingToken('alice')}` },
    // A connection for each request, so that it is known which one breaks.
    httpStack: new DefaultHttpStack({ agent: false }),
    retryDelays: [0, 100, 200, 400, 800, 1600, 3200],
    onError: resolve,
    onSuccess: () => resolve(undefined),
    ...options,
  })
  onto(upload)
  upload.start()
  const error = await promise
  return { upload, error: error?.message, answer: error && (error as DetailedError).originalResponse }
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

const world = await open(t)
const { gateway, proxy } = world

t.test('64 MiB arrive over connections that break', async (t) => {
  const content = randomBytes(64 * mib)
  const file = join(gateway.directory, 'sent')
  writeFileSync(file, content)
  // Creation, then each PATCH that breaks with the HEAD after it, of which one breaks too.
  proxy.cuts.push(never, 9 * mib, 400, never, 20 * mib, never, 5 * mib, never, 3 * mib)
  const { error } = await run(world, createReadStream(file), { metadata: { path: '/lab/alice/big' } })
  t.equal(error, undefined)
  t.same(proxy.cuts, [], 'all of them broke')
  const answer = await gateway.get('/lab/alice/big', 'alice')
  t.equal(sha256(answer.body), sha256(content))
})

t.test('an upload whose length is told last becomes the file', async (t) => {
  const content = randomBytes(3 * mib + 17)
  const options = { uploadLengthDeferred: true, chunkSize: mib, metadata: { path: '/lab/alice/deferred' } }
  const { error } = await run(world, Readable.from([content]), options)
  t.equal(error, undefined)
  t.equal(sha256((await gateway.get('/lab/alice/deferred', 'alice')).body), sha256(content))
})

t.test('the client of the draft is understood too', async (t) => {
  const content = randomBytes(5 * mib)
  proxy.cuts.push(never, 2 * mib, never, mib)
  const options = {
    protocol: 'ietf-draft-05',
    endpoint: `${proxy.url}/.portolan/uploads/lab/alice/draft`,
  } as const
  const { error } = await run(world, content, options)
  t.equal(error, undefined)
  t.same(proxy.cuts, [])
  t.equal(sha256((await gateway.get('/lab/alice/draft', 'alice')).body), sha256(content))
})

t.test('an upload that is ended leaves nothing', async (t) => {
  const drafts = () => readdirSync(join(gateway.tree('/lab'), 'alice')).filter((name) => name.startsWith('.portolan'))
  // A client that has lost an answer begins anew, and what it had begun is kept.
  const before = new Set(drafts())
  const ended = Promise.withResolvers<string>()
  const options = { metadata: { path: '/lab/alice/ended' }, chunkSize: mib }
  void run(world, randomBytes(4 * mib), options, (upload) => {
    upload.options.onChunkComplete = () => void upload.abort(true).then(() => ended.resolve(upload.url ?? ''))
  })
  const { pathname } = new URL(await ended.promise)
  t.equal((await gateway.request({ method: 'HEAD', path: pathname, user: 'alice' })).status, 404)
  t.equal((await gateway.get('/lab/alice/ended', 'alice')).status, 404)
  await eventually(() => drafts().every((name) => before.has(name)), 30_000, 'something is left')
})

t.test('what is refused is refused once, and the client hears why', async (t) => {
  let requests = 0
  const onBeforeRequest = () => void requests++
  const { answer } = await run(world, Buffer.from('abc'), { metadata: { path: '/lab/bob/x' }, onBeforeRequest })
  t.equal(answer?.getStatus(), 403)
  t.match(answer?.getBody(), /"code":"denied"/)
  t.equal(requests, 1)
})

t.test('Uppy names the file beside its directory', async (t) => {
  const metadata = { relativePath: 'null', name: 'a photo.jpg', type: 'image/jpeg', filename: 'a photo.jpg' }
  const endpoint = `${proxy.url}/.portolan/uploads/lab/alice/`
  const { error } = await run(world, Buffer.from('jpeg'), { endpoint, metadata, uploadDataDuringCreation: true })
  t.equal(error, undefined)
  t.equal(readFileSync(join(gateway.tree('/lab'), 'alice', 'a photo.jpg'), 'utf8'), 'jpeg')
})

t.test('an upload goes on after the gateway was killed and started again', async (t) => {
  const content = randomBytes(24 * mib)
  const paused = Promise.withResolvers<string>()
  const first = run(world, content, { metadata: { path: '/lab/alice/killed' }, chunkSize: 4 * mib }, (upload) => {
    upload.options.onChunkComplete = (_size, accepted) => {
      if (accepted < 12 * mib) return
      void upload.abort().then(() => paused.resolve(upload.url ?? ''))
    }
  })
  const url = await paused.promise
  await gateway.kill9()
  await gateway.start()
  const offsets: number[] = []
  const onProgress = (sent: number) => void offsets.push(sent)
  const { error, upload } = await run(world, content, { uploadUrl: url, onProgress, metadata: {} })
  t.equal(error, undefined)
  t.equal(upload.url, url, 'it is the same upload')
  t.ok(Math.min(...offsets) >= 12 * mib, 'and nothing was sent twice', { first: offsets[0] })
  t.equal(sha256((await gateway.get('/lab/alice/killed', 'alice')).body), sha256(content))
  // What was aborted never says that it ended.
  void first
})
