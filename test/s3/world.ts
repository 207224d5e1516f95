/** A bucket of a real S3 server with a back end over it, and what lies in the bucket. */

import { randomUUID } from 'node:crypto'
import {
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { Acl } from '../../acl/acl.ts'
import type { Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { S3Backend, type S3Options } from '../../backends/s3/s3.ts'
import type { Rgw } from '../peers/rgw.ts'
import { TestServices } from '../posix/backend-world.ts'

export const alice: Principal = {
  id: 'alice',
  user: 'alice@desy.de',
  groups: new Set(['p01@desy.de']),
  grants: 'unbounded',
}
export const bob: Principal = { id: 'bob', user: 'bob@desy.de', groups: new Set(), grants: 'unbounded' }

/** Alice may do all, and what is made below inherits that for its owner. */
export const openAcl: Acl = {
  owner: 'alice@desy.de',
  group: 'p01@desy.de',
  dialect: 'rfc8881',
  aces: [{ type: 'allow', flags: 0x3, mask: 0x1f01ff, who: 'OWNER@' }],
}

export interface Bucket {
  readonly name: string
  /** Works on the bucket as others would, past the back end. */
  readonly client: S3Client
  readonly services: TestServices
  readonly options: S3Options
  /** The same bucket, as another gateway process would open it. */
  open(options?: Partial<S3Options>): S3Backend
  put(key: string, body?: string): Promise<void>
  /** All keys, or those with a prefix. */
  keys(prefix?: string): Promise<readonly string[]>
  /** Keys of uploads that were begun and not ended. */
  uploads(): Promise<readonly string[]>
  end(): Promise<void>
}

/** A new bucket; `prefix` is where the back end has its top. */
export async function makeBucket(rgw: Rgw, more: Partial<S3Options> = {}): Promise<Bucket> {
  const { accessKeyId, secretAccessKey, endpoint, region } = rgw
  const client = new S3Client({
    endpoint: endpoint.href,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
  const name = `b-${randomUUID()}`
  await client.send(new CreateBucketCommand({ Bucket: name }))
  const services = new TestServices()
  const options: S3Options = {
    endpoint,
    region,
    bucket: name,
    prefix: '',
    credentials: async () => ({ accessKeyId, secretAccessKey: new Secret(secretAccessKey) }),
    pathStyle: true,
    rootAcl: openAcl,
    ...more,
  }
  const opened: S3Backend[] = []
  return {
    name,
    client,
    services,
    options,
    open: (changes = {}) => {
      const backend = new S3Backend({ ...options, ...changes }, services)
      opened.push(backend)
      return backend
    },
    put: async (Key, Body = '') => {
      await client.send(new PutObjectCommand({ Bucket: name, Key, Body }))
    },
    keys: (prefix) => keysOf(client, name, prefix),
    uploads: async () => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: name }))
      return Uploads.map(({ Key }) => Key ?? '')
    },
    end: async () => {
      for (const backend of opened) await backend.close()
      client.destroy()
    },
  }
}

async function keysOf(client: S3Client, Bucket: string, Prefix = ''): Promise<readonly string[]> {
  const found: string[] = []
  for (let StartAfter = ''; ; ) {
    const input = { Bucket, Prefix, EncodingType: 'url' as const, StartAfter }
    const { Contents = [], IsTruncated } = await client.send(new ListObjectsV2Command(input))
    found.push(...Contents.map(({ Key }) => decodeURIComponent((Key ?? '').replaceAll('+', ' '))))
    if (!IsTruncated) return found
    StartAfter = found.at(-1) ?? ''
  }
}
