/** The fields of a form that uploads an object, and what they come to as headers of a request. */

import { S3Error } from './error.ts'
import type { FormFields } from './post-policy.ts'
import { tagsIn } from './tag-set.ts'
import { parseRoot } from './xml.ts'

/** Bytes of all fields in front of the file: tokens of sessions are among them. */
const maxFields = 64 * 1024
/** Bytes of one of them. */
export const maxField = 32 * 1024

/** Fields without the prefix that say something of the object. */
const described: ReadonlySet<string> = new Set([
  'acl',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
])
/** Fields with the prefix that are about the signature. */
const aboutSignature: ReadonlySet<string> = new Set([
  'x-amz-algorithm',
  'x-amz-content-sha256',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-security-token',
  'x-amz-signature',
])

/** Collects fields; names count in lower case. */
export class FormCollector {
  readonly #fields = new Map<string, string>()
  #bytes = 0

  /** Throws `InvalidArgument` for a field that comes twice, `MaxMessageLengthExceeded` for too many. */
  add(name: string, value: string): void {
    const field = name.toLowerCase()
    this.#bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
    if (this.#bytes > maxFields) {
      throw new S3Error('MaxMessageLengthExceeded', 'The fields in front of the file are too long.')
    }
    if (this.#fields.has(field)) throw badField(field, `The form has more than one field '${field}'.`)
    this.#fields.set(field, value)
  }

  /** As a policy sees them: with the bucket of the request, and the key that is written to. */
  complete(bucket: string, filename: string): FormFields {
    const key = this.#fields.get('key')
    if (!key) throw badField('key', "Bucket POST must contain a field named 'key'.")
    if ((this.#fields.get('bucket') ?? bucket) !== bucket) {
      throw badField('bucket', 'The form is for another bucket than the request.')
    }
    const named = key.replace(/\$\{filename\}/g, () => baseName(filename))
    return new Map([...this.#fields, ['bucket', bucket], ['key', named]])
  }
}

/** The fields that count as headers of PutObject; values with one character for each octet. */
export function headersOf(fields: FormFields): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (const [name, value] of fields) {
    const counts = described.has(name) || (name.startsWith('x-amz-') && !aboutSignature.has(name))
    if (counts) headers.set(name, Buffer.from(value).toString('latin1'))
  }
  const tagging = fields.get('tagging')
  if (tagging !== undefined) headers.set('x-amz-tagging', taggingHeader(tagging))
  return headers
}

/** In forms tags come as XML. */
function taggingHeader(xml: string): string {
  const tags = tagsIn(parseRoot(Buffer.from(xml), 'Tagging'))
  return tags.map((each) => each.map(encodeURIComponent).join('=')).join('&')
}

/** Some browsers send paths (RFC 7578, section 4.2). */
function baseName(filename: string): string {
  return filename.slice(Math.max(filename.lastIndexOf('/'), filename.lastIndexOf('\\')) + 1)
}

export function badField(name: string, message: string): S3Error {
  return new S3Error('InvalidArgument', message, { elements: { ArgumentName: name } })
}
