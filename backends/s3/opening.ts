/** Open files: every range is asked for with the ETag that was seen, so that all bytes are of one object. */

import { Readable } from 'node:stream'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { FileStream, OpenFile, Range } from '../backend.ts'
import { chunksOf } from './body.ts'
import { isCode } from './client.ts'
import type { Desk } from './desk.ts'
import { type Head, quoted } from './entries.ts'
import { failureOf, unavailable } from './errors.ts'
import type { Seen } from './looking.ts'
import { requireFile, requireHead, requireWhole, stale } from './requiring.ts'

/** How often a transfer that breaks off is taken up again where it was. */
const resumptions = 4

/** The file of a look. When another takes its name, later ranges are `stale`: S3 keeps no replaced object. */
export async function openSeen(desk: Desk, path: Path, seen: Seen, call: Call): Promise<OpenFile> {
  const entry = requireFile(seen.trail, path)
  const head = requireHead(seen, path)
  await requireWhole(desk, path, seen, call)
  const { content, failure } = seen
  if (failure) throw failure
  return {
    entry,
    ...(content && { content }),
    stream: (range) => {
      if (content) return Readable.from([content.subarray(range.start, range.end)], { objectMode: false })
      return streamOf(desk, path, head, range, call)
    },
    read: async (into, offset) => {
      desk.check(call)
      const end = Math.min(offset + into.length, head.size)
      if (offset >= end) return 0
      let at = 0
      for await (const chunk of pull(desk, path, head, { start: offset, end }, call.signal)) {
        into.set(chunk, at)
        at += chunk.length
      }
      return at
    },
    close: async () => {},
  }
}

/** Fails with StorageErrors. Given up, it lets go of its connection at once. */
export function streamOf(desk: Desk, path: Path, head: Head, range: Range, call: Call): FileStream {
  const given = new AbortController()
  const signal = AbortSignal.any([call.signal, given.signal])
  const stream = Readable.from(pull(desk, path, head, range, signal), { objectMode: false })
  stream.once('close', () => given.abort(new StorageError('cancelled', 'the reader has gone')))
  return stream
}

/** Exactly the bytes of the range. A broken transfer goes on where it was, a few times. */
async function* pull(
  desk: Desk,
  path: Path,
  head: Head,
  { start, end }: Range,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  desk.store.check(signal)
  let at = start
  for (let left = resumptions; at < end; ) {
    try {
      for await (const chunk of ranged(desk, path, head, { start: at, end }, signal)) {
        if (chunk.length > end - at) throw unavailable('the storage sent more than was asked for')
        at += chunk.length
        yield chunk
      }
      if (at < end) throw unavailable('the storage cut a transfer off')
    } catch (thrown) {
      desk.store.check(signal)
      const { error, passing } = failureOf(thrown, path)
      // Another object has the name now, or none.
      if (isCode(error, 'precondition', 'not-found', 'range')) throw stale(path)
      if (!passing || left-- === 0) throw error
      await desk.store.pause(signal)
    }
  }
}

async function* ranged(
  desk: Desk,
  path: Path,
  head: Head,
  { start, end }: Range,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const input = {
    Bucket: desk.store.bucket,
    Key: desk.keys.object(path),
    Range: `bytes=${start}-${end - 1}`,
    IfMatch: head.etag,
  }
  const answer = await desk.store.request({ signal, path, bytes: true }, (client, options) =>
    client.send(new GetObjectCommand(input), options),
  )
  const body = answer.Body as Readable
  const expected = `bytes ${start}-${end - 1}/${head.size}`
  const isWhole = answer.ContentRange === undefined && start === 0 && answer.ContentLength === end && end === head.size
  const isSame = quoted(answer.ETag) === head.etag
  if (!isSame || (answer.ContentRange !== expected && !isWhole)) {
    body.destroy()
    throw isSame ? new StorageError('unsupported', 'the storage does not send ranges') : stale(path)
  }
  yield* chunksOf(body, desk.store.stall, desk.store.alive(signal))
}
