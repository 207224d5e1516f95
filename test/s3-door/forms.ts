/** Forms of browsers that upload, and what signs them (Amazon S3 API Reference, "POST Object"). */

import { hmac } from './signing.ts'
import { keyOf } from './world.ts'

/** A field; with a filename the file. */
export type Part = readonly [name: string, value: string, filename?: string]

/** By whom a form is signed, and for what. */
export interface FormSigning {
  readonly user?: 'alice' | 'bob'
  readonly bucket?: string
  /** Besides those of the fields of the signature itself. */
  readonly conditions?: readonly unknown[]
  readonly expiration?: string
  readonly spoil?: (fields: Part[]) => Part[]
}

/** Between the parts of a form. */
export const boundary = '----portolan7a1b2c'

/** The body of a form. */
export function formOf(parts: readonly Part[]): string {
  const texts = parts.map(([name, value, filename]) => {
    const file = filename === undefined ? '' : `; filename="${filename}"`
    return `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n${value}\r\n`
  })
  return `${texts.join('')}--${boundary}--\r\n`
}

/** The fields that sign a form. */
export function signedFields({
  user = 'alice',
  bucket = 'data',
  conditions = [],
  expiration,
  spoil,
}: FormSigning): Part[] {
  const date = `${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
  const day = date.slice(0, 8)
  const { accessKeyId, secret } = keyOf(user)
  const own = {
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': `${accessKeyId}/${day}/us-east-1/s3/aws4_request`,
    'x-amz-date': date,
  }
  const document = {
    expiration: expiration ?? new Date(Date.now() + 60_000).toISOString(),
    conditions: [{ bucket }, ...Object.entries(own).map(([name, value]) => ({ [name]: value })), ...conditions],
  }
  const policy = Buffer.from(JSON.stringify(document)).toString('base64')
  const key = [day, 'us-east-1', 's3', 'aws4_request'].reduce<Buffer>(
    (last, part) => hmac(last, part),
    Buffer.from(`AWS4${secret}`),
  )
  const fields: Part[] = [
    ...Object.entries(own),
    ['policy', policy],
    ['x-amz-signature', hmac(key, policy).toString('hex')],
  ]
  return spoil?.(fields) ?? fields
}
