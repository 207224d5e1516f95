/** CopyObject (Amazon S3 API Reference). */

import type { Entry, Kept } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { isoDate } from '../http/dates.ts'
import {
  algorithmOf,
  base64,
  type Checksum,
  type ChecksumAlgorithm,
  checksumElements,
  digestOf,
  type Fields,
} from './checksums.ts'
import {
  conditionsOf,
  failed,
  readConditions,
  requireSource,
  type WriteCondition,
  writeCondition,
} from './conditions.ts'
import { type CopySource, copySourceOf, sourceError } from './copy-source.ts'
import { changeRecord } from './current-object.ts'
import { directoryRecord, putDirectory } from './directory-object.ts'
import { S3Error } from './error.ts'
import { emptyEtag, etagOf, names, quoted } from './etags.ts'
import { answerLasting } from './keep-alive.ts'
import { type Description, describe, fieldsOf, requireUnderstood } from './metadata.ts'
import { decodeRecord, encodeRecord, type ObjectRecord } from './record.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { leaf } from './xml.ts'

/** What the copy has instead of what the source has. */
interface Changes {
  readonly described: Pick<Description, 'headers' | 'meta'> | undefined
  readonly tags: Description['tags'] | undefined
  /** A checksum of its own. */
  readonly algorithm: ChecksumAlgorithm | undefined
}

interface Made {
  readonly entry: Entry
  readonly record: ObjectRecord | undefined
}

export const copyObject: Operation<ObjectRequest> = async (request) => {
  const fields = fieldsOf(request)
  requireUnderstood(fields)
  const changes = changesOf(fields)
  const condition = writeCondition(fields)
  const source = await copySourceOf(request, fields)
  const isSame = source.path === request.path
  const isChange = changes.described || changes.tags || changes.algorithm
  if (isSame && !isChange) {
    throw new S3Error(
      'InvalidRequest',
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    )
  }
  await answerLasting(request, 'CopyObjectResult', async () => {
    const { entry, record } = await make(request, fields, source, changes, condition)
    return [
      leaf('LastModified', isoDate(entry.modified)),
      leaf('ETag', quoted(etagOf(entry, record))),
      ...(record?.checksum ? checksumElements(record.checksum).map(([name, value]) => leaf(name, value)) : []),
    ].join('')
  })
}

function make(
  request: ObjectRequest,
  fields: Fields,
  source: CopySource,
  changes: Changes,
  condition: WriteCondition | undefined,
): Promise<Made> {
  if (source.asDirectory || request.asDirectory) return copyDirectory(request, source, changes, condition)
  if (source.path === request.path) return changeItself(request, fields, changes, condition)
  return copyFile(request, fields, source, changes, condition)
}

function changesOf(fields: ReadonlyMap<string, string>): Changes {
  const isReplaced = (name: string) => {
    const directive = fields.get(name) ?? 'COPY'
    if (directive === 'COPY' || directive === 'REPLACE') return directive === 'REPLACE'
    throw new S3Error('InvalidArgument', 'Unknown directive.', {
      elements: { ArgumentName: name, ArgumentValue: directive },
    })
  }
  const sent = describe(fields)
  const name = fields.get('x-amz-checksum-algorithm')
  const algorithm = name === undefined ? undefined : algorithmOf(name)
  if (name !== undefined && !algorithm) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-checksum-algorithm header is invalid.')
  }
  return {
    described: isReplaced('x-amz-metadata-directive') ? sent : undefined,
    tags: isReplaced('x-amz-tagging-directive') ? sent.tags : undefined,
    algorithm,
  }
}

async function copyFile(
  request: ObjectRequest,
  fields: Fields,
  source: CopySource,
  changes: Changes,
  condition: WriteCondition | undefined,
): Promise<Made> {
  const { x, call, path } = request
  const { storage } = x.door
  await prepareChecksum(request, source, changes)
  const conditions = await conditionsOf(request, condition)
  const isBound = readConditions(fields, 'x-amz-copy-source-') !== undefined
  let record: ObjectRecord | undefined
  try {
    const { entry } = await storage.copy(call, source.path, path, {
      createParents: true,
      ...(conditions && { conditions }),
      ...(isBound && { version: source.entry.version }),
      record: (kept) => {
        record = changed(decodeRecord(kept.record), kept, changes)
        return encodeRecord(record)
      },
    })
    return { entry, record }
  } catch (error) {
    const { code } = StorageError.from(error)
    throw code === 'not-found' || code === 'nearline' ? sourceError(source.key, error) : error
  }
}

/** A new checksum takes one reading of the source, unless it is kept with it already. */
async function prepareChecksum({ x, call }: ObjectRequest, source: CopySource, { algorithm }: Changes): Promise<void> {
  if (!algorithm || source.record?.checksum?.algorithm === algorithm) return
  await x.door.storage.checksum(call, source.path, [digestOf(algorithm)])
}

/** The same bytes: what names them stays. */
function changed(record: ObjectRecord | undefined, kept: Pick<Kept, 'digests'>, changes: Changes): ObjectRecord {
  const { headers, meta } = changes.described ?? record ?? { headers: {}, meta: {} }
  const checksum = checksumOf(record, kept, changes)
  const { etag, parts, tags = [] } = record ?? {}
  return {
    ...(etag !== undefined && { etag }),
    headers,
    meta,
    tags: changes.tags ?? tags,
    ...(checksum && { checksum }),
    ...(parts && { parts: record?.checksum === checksum ? parts : { sizes: parts.sizes } }),
  }
}

function checksumOf(
  record: ObjectRecord | undefined,
  { digests }: Pick<Kept, 'digests'>,
  { algorithm }: Changes,
): Checksum | undefined {
  const before = record?.checksum
  if (!algorithm || before?.algorithm === algorithm) return before
  const bytes = digests[digestOf(algorithm)]
  return bytes ? { algorithm, type: 'FULL_OBJECT', value: base64(bytes) } : before
}

/** A copy onto itself changes what is kept with the object, and no byte. */
async function changeItself(
  request: ObjectRequest,
  fields: Fields,
  changes: Changes,
  condition: WriteCondition | undefined,
): Promise<Made> {
  const { x, call, path } = request
  const conditions = readConditions(fields, 'x-amz-copy-source-')
  const digests = changes.algorithm ? await x.door.storage.checksum(call, path, [digestOf(changes.algorithm)]) : {}
  return changeRecord(request, ({ entry, record }) => {
    const etag = etagOf(entry, record)
    requireSource(conditions, entry, etag)
    requireTarget(condition, etag)
    return changed(record, { digests }, changes)
  })
}

/** The target is there. */
function requireTarget(condition: WriteCondition | undefined, etag: string): void {
  if (!condition) return
  if ('absent' in condition) throw failed('If-None-Match')
  if (!names(condition.match, etag)) throw failed('If-Match')
}

async function copyDirectory(
  request: ObjectRequest,
  source: CopySource,
  changes: Changes,
  condition: WriteCondition | undefined,
): Promise<Made> {
  if (!source.asDirectory || !request.asDirectory) {
    throw new S3Error('InvalidRequest', 'A key that ends in a slash is a directory, and copied to such a key alone.')
  }
  const { x, call } = request
  const kept = await directoryRecord({ x, call, path: source.path })
  const { headers, meta } = changes.described ?? kept ?? { headers: {}, meta: {} }
  const description = { headers, meta, tags: changes.tags ?? kept?.tags ?? [] }
  const isSame = source.path === request.path
  if (isSame) requireTarget(condition, emptyEtag)
  return { entry: await putDirectory(request, description, isSame ? undefined : condition), record: description }
}
