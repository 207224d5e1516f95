/** Signature Version 4 as a client writes it (Amazon S3 API Reference, "Authenticating Requests"), for raw requests. */

import { createHash, createHmac } from 'node:crypto'

export interface SigningKey {
  readonly accessKeyId: string
  readonly secret: string
  readonly sessionToken?: string
}

export interface ToSign {
  readonly method: string
  /** Percent-encoded, with its query. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  /** `x-amz-content-sha256`; of `body` if absent. */
  readonly payload?: string
  readonly body?: string | Uint8Array | undefined
  readonly key: SigningKey
  readonly region?: string
  readonly service?: string
  /** Milliseconds since 1970; now if absent. */
  readonly at?: number
}

export interface SignedHeaders {
  readonly headers: Record<string, string>
  readonly signature: string
  readonly signingKey: Buffer
  /** `YYYYMMDD'T'HHMMSS'Z'` */
  readonly date: string
  readonly scope: string
}

/** The headers with a signature of them all. `host` must be among them. */
export function sign(request: ToSign): SignedHeaders {
  const { method, target, key, region = 'us-east-1', service = 's3', at = Date.now() } = request
  const payload = request.payload ?? sha256(request.body ?? '')
  const date = `${new Date(at).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-date': date,
    ...(service === 's3' && { 'x-amz-content-sha256': payload }),
    ...(key.sessionToken !== undefined && { 'x-amz-security-token': key.sessionToken }),
  }
  const names = Object.keys(headers)
    .map((name) => name.toLowerCase())
    .toSorted()
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const fields = names.map((name) => `${name}:${(lower.get(name) ?? '').trim().replace(/ +/g, ' ')}\n`).join('')
  const [path = '', query = ''] = target.split(/\?(.*)/s)
  const canonical = [method, canonicalPath(path), canonicalQuery(query), fields, names.join(';'), payload].join('\n')
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`
  const signingKey = [date.slice(0, 8), region, service, 'aws4_request'].reduce<Buffer>(
    (last, part) => hmac(last, part),
    Buffer.from(`AWS4${key.secret}`),
  )
  const text = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')
  const signature = hmac(signingKey, text).toString('hex')
  const parts = [`Credential=${key.accessKeyId}/${scope}`, `SignedHeaders=${names.join(';')}`, `Signature=${signature}`]
  headers.authorization = `AWS4-HMAC-SHA256 ${parts.join(', ')}`
  return { headers, signature, signingKey, date, scope }
}

/** What a signed URL is for. */
export interface ToPresign {
  readonly method?: string
  readonly path: string
  readonly host: string
  readonly key: SigningKey
  readonly at?: number
  readonly expires?: number | string
  /** Encoded as it is to be sent, and signed too. */
  readonly query?: Readonly<Record<string, string>>
  /** Signed besides host. */
  readonly headers?: Readonly<Record<string, string>>
  readonly payload?: string
}

/** A signed URL, without its origin. */
export function presign(to: ToPresign): string {
  const {
    method = 'GET',
    path,
    at = Date.now(),
    expires = 600,
    query = {},
    headers = {},
    payload = 'UNSIGNED-PAYLOAD',
  } = to
  const date = `${new Date(at).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
  const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`
  const signed: Record<string, string> = { host: to.host, ...headers }
  const names = Object.keys(signed).toSorted()
  const parameters = {
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': encodeURIComponent(`${to.key.accessKeyId}/${scope}`),
    'X-Amz-Date': date,
    'X-Amz-Expires': String(expires),
    'X-Amz-SignedHeaders': encodeURIComponent(names.join(';')),
    ...(to.key.sessionToken && { 'X-Amz-Security-Token': encodeURIComponent(to.key.sessionToken) }),
    ...query,
  }
  const canonicalQuery = Object.entries(parameters)
    .map(([name, value]) => `${name}=${value}`)
    .toSorted()
    .join('&')
  const fields = names.map((name) => `${name}:${signed[name]}\n`).join('')
  const canonical = [method, path, canonicalQuery, fields, names.join(';'), payload].join('\n')
  const signingKey = [date.slice(0, 8), 'us-east-1', 's3', 'aws4_request'].reduce<Buffer>(
    (last, part) => hmac(last, part),
    Buffer.from(`AWS4${to.key.secret}`),
  )
  const text = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')
  return `${path}?${canonicalQuery}&X-Amz-Signature=${hmac(signingKey, text).toString('hex')}`
}

/** Every octet but the unreserved ones and slashes as `%XX`, whatever was escaped before. */
function canonicalPath(path: string): string {
  const octets = path.replace(/%([0-9a-f]{2})/gi, (_escape, digits) => String.fromCharCode(Number.parseInt(digits, 16)))
  return octets.replace(/[^A-Za-z0-9\-._~/]/g, (octet) => {
    return `%${octet.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  })
}

function canonicalQuery(query: string): string {
  return query
    .split('&')
    .filter((part) => part !== '')
    .map((part) => (part.includes('=') ? part : `${part}=`).replaceAll('/', '%2F'))
    .toSorted()
    .join('&')
}

export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

export function hmac(key: Uint8Array, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}
