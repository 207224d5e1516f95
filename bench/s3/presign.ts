/** URLs that carry their signature (Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters"): every client can send them. */

import { createHash, createHmac } from 'node:crypto'

export interface AccessKey {
  readonly accessKeyId: string
  readonly secret: string
}

/** A server's door, with a bucket to measure in. */
export interface S3Target {
  /** Without a final slash. */
  readonly url: string
  readonly bucket: string
  readonly key: AccessKey
}

const region = 'us-east-1'
const hour = '3600'

/** Good for an hour. `object` is a key of plain characters, or '' for the bucket. */
export function presign(
  method: string,
  { url, bucket, key }: S3Target,
  object: string,
  parameters: Readonly<Record<string, string>> = {},
): string {
  const date = `${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`
  const query = Object.entries({
    ...parameters,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${key.accessKeyId}/${scope}`,
    'X-Amz-Date': date,
    'X-Amz-Expires': hour,
    'X-Amz-SignedHeaders': 'host',
  })
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .toSorted()
    .join('&')
  const path = object === '' ? `/${bucket}` : `/${bucket}/${object}`
  const canonical = [method, path, query, `host:${new URL(url).host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n')
  const text = ['AWS4-HMAC-SHA256', date, scope, createHash('sha256').update(canonical).digest('hex')].join('\n')
  return `${url}${path}?${query}&X-Amz-Signature=${hmac(signingKey(key.secret, date.slice(0, 8)), text).toString('hex')}`
}

function signingKey(secret: string, day: string): Buffer {
  return [day, region, 's3', 'aws4_request'].reduce<Buffer>(
    (key, part) => hmac(key, part),
    Buffer.from(`AWS4${secret}`),
  )
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
