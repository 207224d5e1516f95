/**
 * Scripts of other sites in browsers (Fetch standard, "CORS protocol"). The door knows no credential that a browser adds
 * by itself; what is left to protect is what anonymous callers of this network may read. So it takes named origins.
 */

import type { Exchange } from '../http/exchange.ts'
import { respond } from '../http/respond.ts'
import { requireBucket } from './buckets.ts'
import { S3Error } from './error.ts'
import type { BucketRequest, Operation, S3Settings } from './s3-request.ts'
import { leaf, sendXml, tag } from './xml.ts'

const methods = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD'] as const
/** Seconds that a browser may remember the answer to a preflight. */
const remembered = 3000
const exposed = [
  ...[
    'ETag',
    'Content-Length',
    'Content-Range',
    'Accept-Ranges',
    'Content-Encoding',
    'Content-Disposition',
    'Location',
  ],
  ...['x-amz-request-id', 'x-amz-id-2', 'x-amz-bucket-region', 'x-amz-storage-class', 'x-amz-restore'],
  ...['x-amz-mp-parts-count', 'x-amz-tagging-count', 'x-amz-checksum-type', 'x-amz-checksum-crc32'],
  ...['x-amz-checksum-crc32c', 'x-amz-checksum-crc64nvme', 'x-amz-checksum-sha1', 'x-amz-checksum-sha256'],
]

type Origins = Pick<S3Settings, 'origins'>

/** Lets the page that sent the request read the answer, if it is one of those that may. */
export function allowOrigin({ request, response }: Exchange, { origins }: Origins): void {
  const { origin } = request.headers
  if (origins.length === 0) return
  response.setHeader('Vary', 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method')
  if (origin === undefined || !isAllowed(origin, origins)) return
  response.setHeader('Access-Control-Allow-Origin', origins.includes('*') ? '*' : origin)
  response.setHeader('Access-Control-Expose-Headers', exposed.join(', '))
}

/** Answers OPTIONS, which browsers ask without a credential. */
export async function preflight(x: Exchange, { origins }: Origins): Promise<void> {
  const {
    origin,
    'access-control-request-method': method,
    'access-control-request-headers': headers,
  } = x.request.headers
  if (origin === undefined) {
    throw new S3Error('BadRequest', 'Insufficient information. Origin request header needed.')
  }
  const isMethod = methods.some((each) => each === method)
  // What is written back into a header must be a list of names and nothing else.
  const areNames = headers === undefined || /^[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,4096}$/.test(headers)
  if (!isMethod || !areNames || !isAllowed(origin, origins)) {
    throw new S3Error('AccessForbidden', 'CORSResponse: This CORS request is not allowed.')
  }
  const allowed = headers === undefined ? [] : ['Access-Control-Allow-Headers', headers]
  const answer = ['Access-Control-Allow-Methods', methods.join(', '), 'Access-Control-Max-Age', String(remembered)]
  await respond(x, 200, [...answer, ...allowed])
}

function isAllowed(origin: string, origins: readonly string[]): boolean {
  return origins.some((each) => each === '*' || each === origin)
}

/** GetBucketCors */
export const getBucketCors: Operation<BucketRequest> = async (request) => {
  await requireBucket(request)
  const { origins } = request.settings
  if (origins.length === 0) {
    const elements = { BucketName: request.bucket.name }
    throw new S3Error('NoSuchCORSConfiguration', 'The CORS configuration does not exist', { elements })
  }
  const rule = [
    ...origins.map((origin) => leaf('AllowedOrigin', origin)),
    ...methods.map((method) => leaf('AllowedMethod', method)),
    leaf('AllowedHeader', '*'),
    ...exposed.map((name) => leaf('ExposeHeader', name)),
    leaf('MaxAgeSeconds', remembered),
  ]
  await sendXml(request.x, 'CORSConfiguration', tag('CORSRule', rule.join('')))
}
