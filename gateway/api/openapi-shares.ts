/** Share links, macaroons and bans in OpenAPI. */

import {
  instant,
  json,
  listOf,
  listParameters,
  networks,
  nothing,
  object,
  operation,
  orNull,
  type Paths,
  partOf,
  partParameters,
  ref,
  type Schema,
  text,
} from './openapi-schema.ts'

const duration: Schema = { type: 'string', format: 'duration', description: 'ISO 8601, such as PT12H or P7D.' }
const allow: Schema = listOf({ enum: ['read', 'upload'] })
const note: Schema = { type: 'string', maxLength: 200 }

function body(name: string): Schema {
  return { required: true, content: { 'application/json': { schema: ref(name) } } }
}

const share = { id: text, user: text, path: text, allow, networks, created: instant, expires: instant, note }
const always = ['id', 'user', 'path', 'allow', 'networks', 'created', 'expires']

export const shareSchemas: Readonly<Record<string, Schema>> = {
  Share: object(share, always),
  NewShare: object({ ...share, url: { type: 'string', format: 'uri', description: 'Opens it. Told only here.' } }, [
    ...always,
    'url',
  ]),
  ShareRequest: object({ path: text, allow, validity: duration, networks, note }, ['path']),
  Shares: partOf('shares', ref('Share')),
  RotationRequest: object({ atOnce: { type: 'boolean', default: false } }, []),
  Rotation: object({ epoch: text }),
  RevocationRequest: object({ macaroon: text }),
  BanRequest: object(
    {
      name: {
        type: 'string',
        description: 'user:NAME@DOMAIN, principal:ID, token:ISSUER|JTI, macaroon:ID or s3-key:ID.',
      },
      validity: { ...duration, description: 'For good if absent.' },
      note,
    },
    ['name'],
  ),
  Bans: partOf(
    'bans',
    object({ name: text, by: text, note: text, added: instant, until: { ...orNull('string'), format: 'date-time' } }),
  ),
  BanByToken: object(
    {
      token: { ...text, description: 'A token with a jti, a macaroon, or the session token of temporary keys.' },
      note,
    },
    ['token'],
  ),
  BanName: object({ name: text, until: { ...orNull('string'), format: 'date-time' } }),
}

export const sharePaths: Paths = {
  '/shares': {
    get: operation({
      operationId: 'shares',
      summary: 'The links that the caller has made and that are still good',
      parameters: listParameters,
      ok: json(ref('Shares'), 'The newest first.'),
    }),
    post: operation({
      operationId: 'share',
      summary:
        'Make a link that opens a file or directory without an account, never for longer than the credential of who asks lives',
      requestBody: body('ShareRequest'),
      status: 201,
      ok: { ...json(ref('NewShare'), 'The link.'), headers: { Location: { schema: text } } },
    }),
  },
  '/shares/{id}': {
    delete: operation({
      operationId: 'unshare',
      summary: 'Take a link back',
      parameters: [{ name: 'id', in: 'path', required: true, schema: text }],
      status: 204,
      ok: nothing,
    }),
  },
  '/macaroons/rotate': {
    post: operation({
      operationId: 'rotateMacaroons',
      summary: 'Begin a new key for macaroons and links; atOnce ends all that were made before. For administrators',
      requestBody: body('RotationRequest'),
      ok: json(ref('Rotation'), 'The new epoch.'),
    }),
  },
  '/macaroons/revoke': {
    post: operation({
      operationId: 'revokeMacaroon',
      summary: 'End a macaroon that one holds, with all that were made from the same one',
      requestBody: body('RevocationRequest'),
      status: 204,
      ok: nothing,
    }),
  },
  '/bans': {
    get: operation({
      operationId: 'bans',
      summary: 'Who and what is banned or revoked. For administrators',
      parameters: partParameters(),
      ok: json(ref('Bans'), 'In order of their names.'),
    }),
    post: operation({
      operationId: 'ban',
      summary: 'Let nobody in by this name any more, also with credentials that are in use. For administrators',
      requestBody: body('BanRequest'),
      status: 204,
      ok: nothing,
    }),
    delete: operation({
      operationId: 'unban',
      summary: 'Lift a ban. For administrators',
      parameters: [{ name: 'name', in: 'query', required: true, schema: text }],
      status: 204,
      ok: nothing,
    }),
  },
  '/revocations': {
    post: operation({
      operationId: 'banToken',
      summary: 'Ban a credential that one has in hand, by the name that it carries. For administrators',
      requestBody: body('BanByToken'),
      ok: json(ref('BanName'), 'What was banned.'),
    }),
  },
}
