/** Linked identities in OpenAPI. */

import {
  instant,
  json,
  listParameters,
  object,
  operation,
  orNull,
  type Paths,
  partOf,
  ref,
  type Schema,
  text,
} from './openapi-schema.ts'

export const linkSchemas: Readonly<Record<string, Schema>> = {
  Link: object({
    id: text,
    issuer: { ...text, description: 'As in `iss`.' },
    subject: { ...text, description: 'As in `sub`.' },
    label: { ...orNull('string'), description: 'What people know the issuer by; null: its links do not count now.' },
    user: text,
    by: { ...text, description: 'How its owner was known when he linked it.' },
    note: text,
    created: instant,
    proven: { ...instant, description: 'When both were proven, the last time.' },
    expires: {
      ...orNull('string'),
      format: 'date-time',
      description: 'It counts no more unless it is proven anew by then.',
    },
  }),
  Links: partOf('links', ref('Link')),
}

export const linkPaths: Paths = {
  '/links': {
    get: operation({
      operationId: 'links',
      summary: 'The identities of issuers that are linked to the account of the caller, or of others',
      parameters: listParameters,
      ok: json(ref('Links'), 'The newest first. They are linked with a browser, at /.portolan/account.'),
    }),
  },
  '/links/{id}': {
    delete: operation({
      operationId: 'unlink',
      summary: 'Take a link back, with everything that was made by it',
      parameters: [{ name: 'id', in: 'path', required: true, schema: text }],
      status: 204,
      ok: { description: 'Done; there is nothing to tell.' },
    }),
  },
}
