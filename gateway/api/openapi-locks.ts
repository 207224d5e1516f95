/** Locks in OpenAPI. */

import { json, listOf, object, operation, orNull, type Paths, ref, type Schema, text } from './openapi-schema.ts'

export const lockSchemas: Readonly<Record<string, Schema>> = {
  Locks: object({
    locks: listOf(
      object({
        token: { type: 'string', description: 'Names the lock.' },
        path: { type: 'string', description: 'Where it was taken.' },
        scope: { enum: ['exclusive', 'shared'] },
        depth: { enum: ['0', 'infinity'] },
        owner: { type: 'string', description: 'What the client said of its owner, in XML.' },
        user: { ...orNull('string'), description: 'Who holds it.' },
        timeout: { type: 'integer', description: 'Seconds that are left.' },
        created: { type: 'string', format: 'date-time' },
      }),
    ),
  }),
}

export const lockPaths: Paths = {
  '/locks': {
    get: operation({
      operationId: 'locks',
      summary: 'The locks that the caller holds, and to administrators those of all',
      parameters: [
        { name: 'path', in: 'query', schema: text, description: 'Only those at this path, above it and below it.' },
      ],
      ok: json(ref('Locks'), 'In no particular order.'),
    }),
    delete: operation({
      operationId: 'unlock',
      summary: 'End a lock that the caller holds, or as an administrator any',
      parameters: [{ name: 'token', in: 'query', required: true, schema: text }],
      status: 204,
      ok: { description: 'It is ended.' },
    }),
  },
}
