/**
 * Uploads by HTML forms (Amazon S3 API Reference, "POST Object"). The signature is in the form, in front of the file: so
 * the caller becomes known while the body is being read, and nothing is written before that.
 */

import type { Principal } from '../../acl/principal.ts'
import { StorageError } from '../core/errors.ts'
import { requireSameOrigin } from '../http/csrf.ts'
import type { Exchange } from '../http/exchange.ts'
import { type FilePart, type FormHandler, FormReader } from '../http/multipart.ts'
import { respond } from '../http/respond.ts'
import { encodePath } from '../http/target.ts'
import { S3Error } from './error.ts'
import { quoted } from './etags.ts'
import type { KeyLookup } from './key-lookup.ts'
import { placeOf } from './keys.ts'
import { badField, FormCollector, headersOf, maxField } from './post-form.ts'
import { checkPolicy, type FormFields } from './post-policy.ts'
import { authenticateForm, type FormSigner } from './post-signature.ts'
import { receivePayload } from './receive.ts'
import type { BucketRequest, ObjectRequest, S3Body, S3Request } from './s3-request.ts'
import { storeObject } from './store-object.ts'
import { leaf, xmlHead, xmlType } from './xml.ts'

/** What the door does for a form whose sender has become known. */
export interface FormDesk {
  readonly key: KeyLookup
  /** Begins the call of whoever signed the form, and finds the bucket for him. Throws as for other requests. */
  begin(principal: Principal): Promise<BucketRequest>
  /** Writes a refused signature down. */
  refused(error: StorageError): void
}

/** Bytes of a form besides its file. */
const aroundFile = 1024 * 1024

/** `request`: of nobody yet. Answers it whole. */
export async function postObject(request: S3Request, bucket: string, desk: FormDesk): Promise<void> {
  const { x } = request
  const type = request.header('content-type') ?? ''
  if (request.signed) throw badField('Authorization', 'Forms are signed by their fields, not by their heads.')
  const form = new FormUpload(request, bucket, desk)
  const isFile = (field: string) => field.toLowerCase() === 'file'
  const reader = openReader(() => new FormReader(type, form, { maxValue: maxField, isFile }))
  try {
    await receivePayload(request, reader, x.door.maxUpload + aroundFile)
  } catch (thrown) {
    const error = StorageError.from(thrown)
    reader.destroy(error)
    await reader.settled()
    // What is behind the file means nothing.
    if (!form.stored) throw form.failure ?? asMalformed(error)
  }
  if (!form.stored) throw badField('file', 'POST requires exactly one file upload per request.')
  await answer(form.stored)
}

/** Whether a request brings a form that may hold a file. */
export function isForm({ request: { method, headers } }: Pick<Exchange, 'request'>): boolean {
  return method === 'POST' && /^multipart\/form-data(?:[ \t]*;|$)/i.test(headers['content-type'] ?? '')
}

/** Of a POST that should be a form and is none. */
export function notAForm(): S3Error {
  const elements = { Condition: 'Bucket POST must be of the enclosure-type multipart/form-data' }
  const message = 'At least one of the pre-conditions you specified did not hold'
  return new S3Error('PreconditionFailed', message, { elements })
}

function openReader(open: () => FormReader): FormReader {
  try {
    return open()
  } catch (thrown) {
    throw asMalformed(StorageError.from(thrown))
  }
}

/** What is wrong with the form itself. */
function asMalformed(error: StorageError): StorageError {
  if (error instanceof S3Error) return error
  if (error.code === 'too-large') {
    return new S3Error('MaxMessageLengthExceeded', 'The fields of the form are too long.', { cause: error })
  }
  if (error.code !== 'invalid') return error
  const message = 'The body of your POST request is not well-formed multipart/form-data.'
  return new S3Error('MalformedPOSTRequest', message, { cause: error })
}

interface StoredForm {
  readonly request: ObjectRequest
  readonly fields: FormFields
  readonly etag: string
}

class FormUpload implements FormHandler {
  readonly #request: S3Request
  readonly #bucket: string
  readonly #desk: FormDesk
  readonly #collected = new FormCollector()
  /** What became of the file. */
  stored: StoredForm | undefined
  /** Why it was not stored. */
  failure: StorageError | undefined

  constructor(request: S3Request, bucket: string, desk: FormDesk) {
    this.#request = request
    this.#bucket = bucket
    this.#desk = desk
  }

  field(name: string, value: string): void {
    if (!this.stored) this.#collected.add(name, value)
  }

  async file({ filename, bytes }: FilePart): Promise<void> {
    if (this.stored) {
      bytes.resume()
      return
    }
    let cause: unknown
    bytes.once('error', (error) => {
      cause = error
    })
    try {
      this.stored = await this.#store(filename, bytes)
    } catch (thrown) {
      const early = new StorageError('invalid', 'the form ended early', { cause })
      this.failure = cause === undefined ? StorageError.from(thrown) : asMalformed(early)
      throw this.failure
    }
  }

  async #store(filename: string, bytes: FilePart['bytes']): Promise<StoredForm> {
    const { x } = this.#request
    const fields = this.#collected.complete(this.#bucket, filename)
    const { principal, policy } = await this.#authenticate(fields)
    const bounds = policy === undefined ? {} : checkPolicy(policy, fields, Date.now())
    const begun = await this.#desk.begin(principal)
    const place = placeOf(begun.bucket, fields.get('key') ?? '')
    x.path = place.path
    const headers = headersOf(fields)
    const request: ObjectRequest = {
      ...begun,
      ...place,
      signed: policy !== undefined,
      header: (name) => headers.get(name),
      headerNames: () => headers.keys(),
      body: fileBody(bytes),
    }
    const { etag } = await storeObject(request, bounds)
    return { request, fields, etag }
  }

  async #authenticate(fields: FormFields): Promise<FormSigner> {
    const { x, settings } = this.#request
    const { key } = this.#desk
    try {
      const signer = await authenticateForm(fields, { key, region: settings.region, isPrivate: x.isPrivate })
      // Without a signature a form is only as good as where it comes from.
      if (signer.policy === undefined) requireSameOrigin(x)
      return signer
    } catch (thrown) {
      this.#desk.refused(StorageError.from(thrown))
      throw thrown
    }
  }
}

/** A file of a form says nothing of its length. */
function fileBody(bytes: FilePart['bytes']): S3Body {
  return {
    length: undefined,
    trailer: undefined,
    trailers: new Map(),
    stream: () => bytes,
    whole: () => Promise.reject(new StorageError('internal', 'a file of a form is not read as a whole')),
  }
}

async function answer({ request, fields, etag }: StoredForm): Promise<void> {
  const { x, bucket, key } = request
  const location = locationOf(request)
  const headers = ['ETag', quoted(etag), 'Location', location]
  const next = redirectionOf(fields, { bucket: bucket.name, key, etag: quoted(etag) })
  if (next !== undefined) return respond(x, 303, ['ETag', quoted(etag), 'Location', next])
  const status = fields.get('success_action_status')
  if (status !== '201') return respond(x, status === '200' ? 200 : 204, headers)
  const names = leaf('Location', location) + leaf('Bucket', bucket.name) + leaf('Key', key) + leaf('ETag', quoted(etag))
  const document = `${xmlHead}<PostResponse>${names}</PostResponse>`
  await respond(x, 201, [...headers, 'Content-Type', xmlType], document)
}

function locationOf({ x, key }: ObjectRequest): string {
  const { url = '/', headers } = x.request
  const forwarded = headers['x-forwarded-proto']
  const encrypted = x.connection.isEncrypted(typeof forwarded === 'string' ? forwarded : forwarded?.join(','))
  const [top = ''] = url.split('?', 1)
  return `${encrypted ? 'https' : 'http'}://${headers.host ?? ''}${top.replace(/\/$/, '')}/${encodePath(key)}`
}

/** A URL that cannot be read counts as none. */
function redirectionOf(fields: FormFields, told: Readonly<Record<string, string>>): string | undefined {
  const text = fields.get('success_action_redirect') ?? fields.get('redirect')
  const url = text === undefined ? null : URL.parse(text)
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') return undefined
  for (const [name, value] of Object.entries(told)) url.searchParams.append(name, value)
  return url.href
}
