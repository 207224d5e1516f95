/** The REST interface in OpenAPI 3.1. Written by hand; a test compares it with the routes. */

import { actions } from '../../acl/needs.ts'
import { errorCodes } from '../core/errors.ts'
import { apiPrefix } from '../http/problem.ts'
import { explainPaths, explainSchemas } from './openapi-explain.ts'
import { linkPaths, linkSchemas } from './openapi-links.ts'
import { lockPaths, lockSchemas } from './openapi-locks.ts'
import { s3KeyPaths, s3KeySchemas } from './openapi-s3-keys.ts'
import { json, listOf, object, operation, orNull, type Paths, ref, type Schema, text } from './openapi-schema.ts'
import { sharePaths, shareSchemas } from './openapi-shares.ts'
import { signInPaths, signInSchemas } from './openapi-sign-in.ts'
import { tapePaths, tapeSchemas } from './openapi-tape.ts'
import { uploadPaths, uploadSchemas } from './openapi-uploads.ts'

export interface OpenApiDocument {
  readonly openapi: string
  readonly info: Schema
  readonly servers: readonly Schema[]
  readonly security: readonly Schema[]
  readonly paths: Paths
  readonly components: Schema
}

const path: Schema = {
  name: 'path',
  in: 'query',
  required: true,
  schema: text,
  description: 'An absolute path of the namespace, percent-encoded once.',
}

const explainSteps: Schema = {
  name: 'explain',
  in: 'query',
  schema: { type: 'boolean', default: false },
  description: 'Adds the steps from the credential to the caller.',
}

const aclContent: Schema = {
  'application/json': { schema: ref('Acl') },
  'text/plain': { schema: { type: 'string', description: 'The text form of nfs4_getfacl.' } },
}

const etag: Schema = { schema: text, description: 'Changes with every change of the object, its ACL included.' }
const aclAnswer: Schema = { description: 'The ACL as it is now.', headers: { ETag: etag }, content: aclContent }

const nobody: readonly Schema[] = [{}]

const grantList = listOf(object({ kind: text, path: text, directoryOnly: { type: 'boolean' } }))

const schemas = {
  ...tapeSchemas,
  ...shareSchemas,
  ...signInSchemas,
  ...s3KeySchemas,
  ...linkSchemas,
  ...lockSchemas,
  ...explainSchemas,
  ...uploadSchemas,
  Problem: object(
    {
      type: { type: 'string', format: 'uri' },
      title: text,
      status: { type: 'integer' },
      code: { enum: errorCodes },
      call: { type: 'string', description: 'The name of this call in the logs.' },
      detail: text,
      explain: { type: 'string', format: 'uri', description: 'Where the reason can be asked for.' },
      stage: { type: 'string', format: 'uri', description: 'Where a file on tape can be asked for.' },
    },
    ['type', 'title', 'status', 'code', 'call'],
  ),
  Principal: object(
    {
      id: text,
      user: orNull('string'),
      groups: listOf(text),
      grants: { oneOf: [{ const: 'unbounded' }, grantList] },
      within: { ...grantList, description: 'Of a macaroon: what its issuer was bounded by. Both must allow.' },
      addresses: { ...listOf(listOf(text)), description: 'The caller must be in a network of each list.' },
      maxUpload: { type: 'integer', description: 'Bytes of each upload.' },
      posix: {
        oneOf: [
          { type: 'null' },
          object({ uid: { type: 'integer' }, gid: { type: 'integer' }, gids: listOf({ type: 'integer' }) }),
        ],
      },
      administrator: { type: 'boolean' },
      expires: { type: ['string', 'null'], format: 'date-time' },
      steps: listOf(
        object({
          step: { type: 'string', description: 'What was looked at: credential, issuer, mapping, account, groups …' },
          passed: { type: 'boolean' },
          text,
        }),
      ),
    },
    ['id', 'user', 'groups', 'grants', 'posix', 'administrator', 'expires'],
  ),
  Acl: object(
    {
      owner: orNull('string'),
      group: orNull('string'),
      dialect: { enum: ['rfc8881', 'gpfs', 'posix', 'dcache'] },
      flags: listOf({ enum: ['auto-inherit', 'protected', 'defaulted'] }),
      aces: listOf(
        object({ type: { enum: ['allow', 'deny', 'audit', 'alarm'] }, who: text, rights: text, flags: text }, [
          'type',
          'who',
          'rights',
        ]),
      ),
    },
    ['aces'],
  ),
  Rights: object({
    path: text,
    type: { enum: ['file', 'directory', 'symlink', 'other'] },
    rights: { oneOf: [{ type: 'integer', description: 'Bits of an ACE mask (RFC 8881).' }, { const: 'unknown' }] },
    names: { type: ['array', 'null'], items: text },
    actions: listOf({ enum: actions }),
  }),
  Usage: object({
    path: text,
    used: { type: 'integer', description: 'Bytes.' },
    available: orNull('integer'),
    limit: orNull('integer'),
    files: { oneOf: [{ type: 'null' }, object({ used: { type: 'integer' }, limit: orNull('integer') })] },
  }),
  Mounts: object({
    mounts: listOf(
      object({
        path: text,
        note: orNull('string'),
        readOnly: { type: 'boolean' },
        enforce: { enum: ['gateway', 'native', 'delegated'], description: 'Who decides beside the credential.' },
        tape: { enum: [null, 'explicit', 'on-read'], description: 'Whether a read brings files back from tape.' },
        versions: { type: 'boolean' },
      }),
    ),
  }),
  Versions: object({
    path: text,
    versions: listOf(
      object({
        version: text,
        kept: { type: 'string', format: 'date-time', description: 'When the storage kept it.' },
        type: { enum: ['file', 'directory', 'symlink', 'other'] },
        size: { type: 'integer' },
        modified: { type: 'string', format: 'date-time' },
        etag: text,
      }),
    ),
  }),
  Status: object({ status: text }),
  Health: object({ status: text, accounts: listOf(object({ source: text, available: { type: 'boolean' } })) }),
}

const paths: Paths = {
  ...tapePaths,
  ...sharePaths,
  ...signInPaths,
  ...s3KeyPaths,
  ...linkPaths,
  ...lockPaths,
  ...explainPaths,
  ...uploadPaths,
  '/whoami': {
    get: operation({
      operationId: 'whoami',
      summary: 'What the gateway takes the caller for, and how it came to that',
      parameters: [explainSteps],
      ok: json(ref('Principal'), 'The caller.'),
    }),
  },
  '/acl': {
    get: operation({ operationId: 'getAcl', summary: 'The ACL of an object', parameters: [path], ok: aclAnswer }),
    put: operation({
      operationId: 'putAcl',
      summary: 'Replace the ACL of an object; owner and group stay',
      parameters: [path, { name: 'If-Match', in: 'header', schema: text, description: 'The ETag that GET gave.' }],
      requestBody: { required: true, content: aclContent },
      ok: aclAnswer,
    }),
  },
  '/rights': {
    get: operation({
      operationId: 'rights',
      summary: 'What the caller may do with an object',
      parameters: [path],
      ok: json(ref('Rights'), 'Credential and ACL together.'),
    }),
  },
  '/mounts': {
    get: operation({
      operationId: 'mounts',
      summary: 'The parts of the namespace that the caller can see',
      ok: json(ref('Mounts'), 'In the order of their paths.'),
    }),
  },
  '/usage': {
    get: operation({
      operationId: 'usage',
      summary: 'Space used, available and allowed',
      parameters: [path],
      ok: json(ref('Usage'), 'Null where the storage does not tell.'),
    }),
  },
  '/versions': {
    get: operation({
      operationId: 'versions',
      summary: 'Earlier states of a file; one is read by GET on the file with ?version=',
      parameters: [path],
      ok: json(ref('Versions'), 'Newest first.'),
    }),
  },
  '/health': {
    get: operation({
      operationId: 'health',
      summary: 'Whether the process is alive, and whether directories of accounts answer',
      security: nobody,
      ok: json(ref('Health'), 'Alive.'),
    }),
  },
  '/ready': {
    get: operation({
      operationId: 'ready',
      summary: 'Whether requests can be served now',
      security: nobody,
      ok: json(ref('Status'), 'Ready.'),
    }),
  },
  '/openapi.json': {
    get: operation({
      operationId: 'openapi',
      summary: 'This document',
      security: nobody,
      ok: json({ type: 'object' }, 'OpenAPI 3.1.'),
    }),
  },
}

/** The document, for a gateway at `publicUrl`. */
export function openApi(publicUrl: string): OpenApiDocument {
  return {
    openapi: '3.1.0',
    info: { title: 'Portolan', version: '1', description: 'Who am I, what may I do, and why not.' },
    servers: [{ url: `${publicUrl}${apiPrefix}` }],
    security: [{ bearer: [] }, { basic: [] }, { negotiate: [] }, {}],
    paths,
    components: {
      schemas,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        basic: { type: 'http', scheme: 'basic' },
        negotiate: { type: 'http', scheme: 'negotiate', description: 'Kerberos (RFC 4559), where it is configured.' },
      },
    },
  }
}
