/** Completions that are repeated, by those whose they are and for what they were. */

import { createHash } from 'node:crypto'
import t from 'tap'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { openS3, type S3World } from './world.ts'

const etag = createHash('md5').update('hello').digest('hex')
const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`

async function begin(world: S3World, key: string) {
  const made = await world.raw({ method: 'POST', target: `/data/${key}?uploads`, as: 'alice' })
  const id = encodeURIComponent(/<UploadId>([^<]+)</.exec(made.text)?.[1] ?? '')
  await world.raw({ method: 'PUT', target: `/data/${key}?partNumber=1&uploadId=${id}`, as: 'alice', body: 'hello' })
  const complete = (of = key, headers: Readonly<Record<string, string>> = {}) =>
    world.raw({ method: 'POST', target: `/data/${of}?uploadId=${id}`, as: 'alice', body, headers })
  return { id, complete }
}

t.test('a completion is repeated for the key it was of, and no other', async (t) => {
  const world = await openS3(t)
  const { complete } = await begin(world, 'a/key')
  t.equal((await complete()).status, 200)
  t.equal((await complete()).status, 200)
  await world.raw({ method: 'PUT', target: '/data/b/key', as: 'alice', body: 'other' })
  for (const other of ['b/key', 'c/key', 'a/key/', 'key']) {
    const answer = await complete(other)
    t.match({ status: answer.status, code: answer.code }, { status: 404, code: 'NoSuchUpload' }, other)
  }
})

t.test('who repeats a completion in the moment in which it succeeds is told of the success', async (t) => {
  let between: (() => Promise<unknown>) | undefined
  const around = (storage: Storage): StorageOperations =>
    new Proxy(storage, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target)
        if (key !== 'parts') return typeof value === 'function' ? value.bind(target) : value
        return new Proxy(target.parts, {
          get(parts, name) {
            const work: unknown = Reflect.get(parts, name, parts)
            if (name !== 'list') return typeof work === 'function' ? work.bind(parts) : work
            return async (...args: Parameters<typeof parts.list>) => {
              const listed = await parts.list(...args)
              const now = between
              between = undefined
              await now?.()
              return listed
            }
          },
        })
      },
    })
  const world = await openS3(t, { around })
  const { complete } = await begin(world, 'key')
  const old = await world.raw({ method: 'PUT', target: '/data/key', as: 'alice', body: 'old' })
  const headers = { 'if-match': old.headers.etag ?? '' }
  between = async () => t.equal((await complete('key', headers)).status, 200)
  t.equal((await complete('key', headers)).status, 200)
  const other = await begin(world, 'key')
  t.equal((await other.complete('key', headers)).status, 412)
})
