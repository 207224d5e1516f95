/** Sessions and application passwords in OpenAPI. */

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

const allow: Schema = { ...listOf({ enum: ['read', 'write'] }), description: 'Both if absent.' }

const password = {
  id: text,
  user: text,
  name: { type: 'string', maxLength: 100 },
  path: text,
  allow,
  networks,
  created: instant,
  used: maybe,
  expires: instant,
}

export const signInSchemas: Readonly<Record<string, Schema>> = {
  Sessions: partOf(
    'sessions',
    object({
      ...{ id: text, user: text, agent: text, from: text },
      ...{ created: instant, used: instant, expires: instant },
      current: { type: 'boolean', description: 'The caller came with this one.' },
    }),
  ),
  LoginOptions: object({
    issuers: listOf(object({ issuer: text, name: text, clientId: text, scopes: listOf(text) })),
  }),
  AppPassword: object(password),
  NewAppPassword: object({ ...password, password: { ...text, description: 'Told only here.' } }),
  AppPasswords: partOf('appPasswords', ref('AppPassword')),
  AppPasswordRequest: object(
    {
      name: password.name,
      path: { ...text, description: 'This and what lies below; everything if absent.' },
      allow,
      validity: { type: 'string', format: 'duration', description: 'ISO 8601, such as P90D.' },
      networks,
    },
    ['name'],
  ),
}

export const signInPaths: Paths = {
  '/login-options': {
    get: operation({
      operationId: 'loginOptions',
      summary: 'Where a program without a browser gets a token (RFC 8628)',
      security: [{}],
      ok: json(ref('LoginOptions'), 'Issuers, in the order of the configuration.'),
    }),
  },
  '/sessions': {
    get: operation({
      operationId: 'sessions',
      summary: 'The browsers that are signed in as the caller, or as others',
      parameters: listParameters,
      ok: json(ref('Sessions'), 'The newest first.'),
    }),
  },
  '/sessions/{id}': {
    delete: operation({
      operationId: 'endSession',
      summary: 'Sign a browser out',
      parameters: [id],
      status: 204,
      ok: nothing,
    }),
  },
  '/app-passwords': {
    get: operation({
      operationId: 'appPasswords',
      summary: 'The application passwords of the caller that are still good',
      parameters: listParameters,
      ok: json(ref('AppPasswords'), 'The newest first.'),
    }),
    post: operation({
      operationId: 'makeAppPassword',
      summary:
        'Make a password for one program, never wider than the credential of who asks, or longer-lived than a token',
      requestBody: { required: true, content: { 'application/json': { schema: ref('AppPasswordRequest') } } },
      status: 201,
      ok: { ...json(ref('NewAppPassword'), 'With the password.'), headers: { Location: { schema: text } } },
    }),
  },
  '/app-passwords/{id}': {
    delete: operation({
      operationId: 'revokeAppPassword',
      summary: 'Take an application password back',
      parameters: [id],
      status: 204,
      ok: nothing,
    }),
  },
}
