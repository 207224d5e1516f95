/** Access keys of S3 in OpenAPI. */

import {
  id,
  instant,
  json,
  listOf,
  listParameters,
  maybe,
  networks,
  nothing,
  object,
  operation,
  type Paths,
  partOf,
  ref,
  type Schema,
  text,
} from './openapi-schema.ts'

const allow: Schema = {
  ...listOf({ enum: ['read', 'write'] }),
  description: 'Both if absent: everything, bringing files back from tape too.',
}
const enabled: Schema = { type: 'boolean' }

const key = {
  id: { ...text, description: 'The access key id.' },
  user: text,
  name: { type: 'string', maxLength: 100 },
  enabled,
  path: text,
  allow,
  networks,
  created: instant,
  used: { ...maybe, description: 'When a request was last signed with it, to the minute; null: never.' },
  expires: instant,
}

export const s3KeySchemas: Readonly<Record<string, Schema>> = {
  S3Key: object(key),
  NewS3Key: object({ ...key, secret: { ...text, description: 'The secret access key. Told only here.' } }),
  S3Keys: partOf('keys', ref('S3Key')),
  S3KeyRequest: object(
    {
      name: key.name,
      path: { ...text, description: 'This and what lies below; everything if absent.' },
      allow,
      validity: { type: 'string', format: 'duration', description: 'ISO 8601, such as P90D.' },
      networks,
    },
    ['name'],
  ),
}

const bodyOf = (schema: Schema) => ({ required: true, content: { 'application/json': { schema } } })

export const s3KeyPaths: Paths = {
  '/s3-keys': {
    get: operation({
      operationId: 's3Keys',
      summary: 'The access keys of the caller that have not ended',
      parameters: listParameters,
      ok: json(ref('S3Keys'), 'The newest first.'),
    }),
    post: operation({
      operationId: 'makeS3Key',
      summary: 'Make an access key for S3, never wider than the credential of who asks, or longer-lived than a token',
      requestBody: bodyOf(ref('S3KeyRequest')),
      status: 201,
      ok: { ...json(ref('NewS3Key'), 'With the secret.'), headers: { Location: { schema: text } } },
    }),
  },
  '/s3-keys/{id}': {
    put: operation({
      operationId: 'switchS3Key',
      summary: 'Disable an access key, or enable it again',
      parameters: [id],
      requestBody: bodyOf(object({ enabled })),
      ok: json(ref('S3Key'), 'As it is now.'),
    }),
    delete: operation({
      operationId: 'removeS3Key',
      summary: 'Remove an access key',
      parameters: [id],
      status: 204,
      ok: nothing,
    }),
  },
  '/s3-keys/sessions/revoke': {
    post: operation({
      operationId: 'endS3Session',
      summary: 'End temporary keys, for whoever has their session token',
      requestBody: bodyOf(object({ sessionToken: text })),
      status: 204,
      ok: nothing,
    }),
  },
}
