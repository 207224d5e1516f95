/** The tape interface in OpenAPI (WLCG Tape REST API v1). */

import { maxLifetime, maxStagedFiles } from '../core/staging.ts'
import { id, json, listOf, nothing, object, operation, type Paths, ref, type Schema, text } from './openapi-schema.ts'

const seconds: Schema = { type: 'integer', description: 'Seconds since 1970.' }
const path: Schema = { type: 'string', description: 'An absolute path of the namespace, not percent-encoded.' }
const localities = ['DISK', 'TAPE', 'DISK_AND_TAPE', 'UNAVAILABLE', 'LOST', 'NONE']

function body(name: string): Schema {
  return { required: true, content: { 'application/json': { schema: ref(name) } } }
}

export const tapeSchemas: Readonly<Record<string, Schema>> = {
  StageRequest: object({
    files: {
      ...listOf(
        object(
          {
            path,
            diskLifetime: {
              type: 'string',
              format: 'duration',
              description: `How long the file stays on disk once it is there (ISO 8601), ${maxLifetime} seconds at most.`,
            },
            targetedMetadata: { type: 'object', description: 'Ignored, as is every member that is not known.' },
          },
          ['path'],
        ),
      ),
      minItems: 1,
      maxItems: maxStagedFiles,
    },
  }),
  StageAnswer: object({ requestId: text }),
  StageStatus: object(
    {
      id: text,
      createdAt: seconds,
      startedAt: seconds,
      completedAt: seconds,
      files: listOf(
        object(
          {
            path,
            state: { enum: ['SUBMITTED', 'STARTED', 'CANCELLED', 'FAILED', 'COMPLETED'] },
            startedAt: seconds,
            finishedAt: seconds,
            error: text,
          },
          ['path', 'state'],
        ),
      ),
    },
    ['id', 'createdAt', 'startedAt', 'files'],
  ),
  Paths: object({ paths: { ...listOf(path), minItems: 1 } }),
  ArchiveInfo: listOf(object({ path: text, locality: { enum: localities }, error: text }, ['path'])),
}

export const tapePaths: Paths = {
  '/tape/stage': {
    post: operation({
      operationId: 'stage',
      summary: 'Bring files from tape and keep them on disk; what is refused fails alone',
      parameters: [
        {
          name: 'Idempotency-Key',
          in: 'header',
          schema: text,
          description:
            'A request sent again with the same key is the same request. Without one the same files are, while they are waited for.',
        },
      ],
      requestBody: body('StageRequest'),
      status: 201,
      ok: { ...json(ref('StageAnswer'), 'The request.'), headers: { Location: { schema: text } } },
    }),
  },
  '/tape/stage/{id}': {
    get: operation({
      operationId: 'stageStatus',
      summary: 'How far a request is; asked of the storage now and then only',
      parameters: [id],
      ok: json(ref('StageStatus'), 'The request and its files.'),
    }),
    delete: operation({
      operationId: 'deleteStage',
      summary: 'Cancel what is left of a request and forget it',
      parameters: [id],
      ok: nothing,
    }),
  },
  '/tape/stage/{id}/cancel': {
    post: operation({
      operationId: 'cancelStage',
      summary: 'Stop waiting for files of a request; a path that is not of it cancels nothing',
      parameters: [id],
      requestBody: body('Paths'),
      ok: nothing,
    }),
  },
  '/tape/release/{id}': {
    post: operation({
      operationId: 'release',
      summary: 'Files of a request need not stay on disk any longer',
      parameters: [id],
      requestBody: body('Paths'),
      ok: nothing,
    }),
  },
  '/tape/archiveinfo': {
    post: operation({
      operationId: 'archiveInfo',
      summary: 'Whether files are on disk or on tape',
      requestBody: body('Paths'),
      ok: json(ref('ArchiveInfo'), 'In the order asked, each with its locality or why that cannot be told.'),
    }),
  },
}
