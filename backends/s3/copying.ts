/** Copies inside the store: one request up to 5 GiB, beyond that part by part. */

import { CopyObjectCommand } from '@aws-sdk/client-s3'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { CopyingOptions, Entry, Kept } from '../backend.ts'
import { commit } from './committing.ts'
import type { Desk } from './desk.ts'
import { type Head, quoted, versionOf } from './entries.ts'
import { unavailable } from './errors.ts'
import { copySource } from './keys.ts'
import { headOf, type Seen } from './looking.ts'
import { timeFor, Upload } from './parts.ts'
import { requireFile, requireHead, requirePlace, requireWhole, stale } from './requiring.ts'
import type { Sidecar } from './sidecar.ts'

/** Largest source of one CopyObject, and of one part (Amazon S3 API Reference, CopyObject). */
const largestCopy = 5 * 2 ** 30
const copiedPart = 2 ** 30

/** The copy is a new object with the ACL of one, or keeps the ACL of what it replaces. */
export async function copySeen(
  desk: Desk,
  [from, to]: readonly [Path, Path],
  [source, target]: readonly [Seen, Seen],
  { condition, decide, version, record: made }: CopyingOptions,
  call: Call,
): Promise<Entry> {
  const head = requireHead(source, from)
  if (version !== undefined && source.trail.entry?.version !== version) {
    throw new StorageError('precondition', 'the file is not the one that was meant', { path: from })
  }
  requirePlace(desk, target.trail, to)
  if (target.trail.entry) requireFile(target.trail, to)
  if (from === to) throw new StorageError('invalid', 'source and target are the same', { path: to })
  await requireWhole(desk, from, source, call)
  const kept = keptOf(source)
  const record = made ? made(kept) : kept.record
  const { digests } = kept
  const options = { condition, decide, digests, ...(record !== undefined && { record }), call }
  return commit(desk, to, target, () => copyObject(desk, from, head, to, call), options)
}

/** What is kept with the very bytes that were seen. */
export function keptOf({ head, kept }: Seen): Kept {
  const content = kept?.content === 'unreadable' ? undefined : kept?.content
  return head ? keptWith(content, versionOf(head)) : { digests: {} }
}

/** What a sidecar tells of the bytes of this version. */
export function keptWith(content: Sidecar | undefined, version: string): Kept {
  if (content?.digests?.version !== version) return { digests: {} }
  const { values, record } = content.digests
  return { digests: values, ...(record !== undefined && { record }) }
}

/**
 * Puts the bytes that `head` describes over whatever is at `to`. Returns the new ETag. Throws `stale` before anything
 * is visible, or `unavailable` where it may be.
 */
export async function copyObject(desk: Desk, from: Path, head: Head, to: Path, call: Call): Promise<string> {
  const { store, keys } = desk
  const source = { CopySource: copySource(store.bucket, keys.object(from)), CopySourceIfMatch: head.etag }
  const etag =
    head.size > largestCopy
      ? await copyInParts(desk, source, head, to, call)
      : await copyAtOnce(desk, source, head, to, call)
  // Some stores overlook the condition on the source. One that does not tell any more leaves it unknown all the same.
  const now = await headOf(desk, from, call).catch(() => undefined)
  if (now?.etag !== head.etag) throw unavailable('the source changed while it was copied')
  return etag
}

interface Source {
  readonly CopySource: string
  readonly CopySourceIfMatch: string
}

async function copyAtOnce(desk: Desk, source: Source, head: Head, to: Path, call: Call): Promise<string> {
  const input = { Bucket: desk.store.bucket, Key: desk.keys.object(to), ...source }
  const how = { signal: call.signal, path: to, more: timeFor(head.size) }
  try {
    const { CopyObjectResult } = await desk.store.request(how, (client, options) =>
      client.send(new CopyObjectCommand(input), options),
    )
    return quoted(CopyObjectResult?.ETag)
  } catch (error) {
    throw sourceError(error, to)
  }
}

async function copyInParts(desk: Desk, source: Source, head: Head, to: Path, call: Call): Promise<string> {
  const upload = await Upload.start(desk, to, call.signal)
  try {
    for (let start = 0; start < head.size; start += copiedPart) {
      await upload.addCopy(source, { start, end: Math.min(start + copiedPart, head.size) })
    }
    await upload.settle()
    return await upload.complete({}, call)
  } catch (error) {
    await upload.abort()
    throw sourceError(error, to)
  }
}

/** The condition of a copy is about its source. */
function sourceError(error: unknown, path: Path): unknown {
  const isSource = error instanceof StorageError && (error.code === 'precondition' || error.code === 'not-found')
  return isSource ? stale(path) : error
}
