/** Unfinished uploads in OpenAPI. */

import { json, listOf, object, operation, orNull, type Paths, ref, type Schema, text } from './openapi-schema.ts'

export const uploadSchemas: Readonly<Record<string, Schema>> = {
  Uploads: object({
    uploads: listOf(
      object({
        id: { type: 'string', description: 'Names the upload.' },
        path: { type: 'string', description: 'What it will be.' },
        offset: { type: 'integer', description: 'Bytes that are here.' },
        length: { ...orNull('integer'), description: 'Bytes of the whole; null as long as nobody has told.' },
        user: { ...orNull('string'), description: 'Who began it.' },
        created: { type: 'string', format: 'date-time' },
        expires: { type: 'string', format: 'date-time', description: 'When it is taken away.' },
      }),
    ),
  }),
}

export const uploadPaths: Paths = {
  '/uploads': {
    get: operation({
      operationId: 'uploads',
      summary: 'Uploads that are not finished: the caller’s, and to administrators those of all',
      ok: json(ref('Uploads'), 'The newest first.'),
    }),
  },
  '/uploads/{id}': {
    delete: operation({
      operationId: 'removeUpload',
      summary: 'Take away an upload of the caller’s, or as an administrator any',
      parameters: [{ name: 'id', in: 'path', required: true, schema: text }],
      status: 204,
      ok: { description: 'It is gone.' },
    }),
  },
}
