/** Pages of keys, in the order of UTF-8 bytes; a store that keeps none, or comes to no end, is not believed. */

import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Desk } from './desk.ts'
import { type Head, makeHead } from './entries.ts'
import { unavailable } from './errors.ts'
import { compareBytes, decodeKey } from './keys.ts'

const pageLength = 1000
/** Pages one after the other with nothing new in them: a store may skip over much that is deleted, but not for ever. */
const mostEmpty = 500

/** One key of a page. */
export interface Item {
  /** What follows the prefix; ends in a slash where it is one that several keys share. Undefined: not UTF-8. */
  readonly rest: string | undefined
  readonly head: Head | undefined
}

export interface Pages {
  /** Keys that go on after a slash are told as one. */
  readonly isFlat?: boolean
  /** Only what comes after this; it follows the prefix. */
  readonly floor?: string
  /** Keys of a page at most. */
  readonly limit?: number
}

/** Keys below a prefix. Throws `unavailable` for a store that keeps no order or tells what was not asked for. */
export async function* pagesOf(
  desk: Desk,
  path: Path,
  prefix: string,
  { isFlat, floor = '', limit = pageLength }: Pages,
  call: Pick<Call, 'signal'>,
): AsyncGenerator<readonly Item[]> {
  const common = {
    ...({ Bucket: desk.store.bucket, Prefix: prefix, EncodingType: 'url', MaxKeys: limit } as const),
    ...(isFlat && { Delimiter: '/' }),
    ...(floor !== '' && { StartAfter: prefix + floor }),
  }
  let last = floor
  let empty = 0
  for (let token: string | undefined; ; ) {
    const input = { ...common, ...(token !== undefined && { ContinuationToken: token }) }
    const answer = await desk.store.request({ signal: call.signal, path, again: true }, (client, options) =>
      client.send(new ListObjectsV2Command(input), options),
    )
    const items = itemsOf(answer, prefix)
    const fresh = items.filter(({ rest }) => rest === undefined || rest === '' || compareBytes(rest, last) > 0)
    // A store may tell the last prefix of a page once more; more than that is no order.
    if (fresh.length < items.length - 1) throw unavailable('the storage does not list in order')
    last = items.at(-1)?.rest ?? last
    yield fresh
    empty = fresh.length === 0 ? empty + 1 : 0
    const next = answer.NextContinuationToken
    const isLost = answer.IsTruncated === undefined || (answer.IsTruncated && (!next || next === token))
    if (isLost || empty > mostEmpty) throw unavailable('the storage does not tell how its listing goes on')
    if (!answer.IsTruncated) return
    token = next
  }
}

function itemsOf(answer: ListObjectsV2CommandOutput, prefix: string): Item[] {
  const { Contents = [], CommonPrefixes = [], EncodingType: encoding } = answer
  const items = [
    ...Contents.map(({ Key = '', ETag, Size, LastModified }) => ({
      rest: restOf(decodeKey(Key, encoding), prefix),
      head: makeHead(ETag, Size, LastModified),
    })),
    ...CommonPrefixes.map(({ Prefix = '' }) => ({
      rest: restOf(decodeKey(Prefix, encoding), prefix),
      head: undefined,
    })),
  ]
  return items.sort((a, b) => compareBytes(a.rest ?? '', b.rest ?? ''))
}

function restOf(key: string | undefined, prefix: string): string | undefined {
  if (key === undefined) return undefined
  if (!key.startsWith(prefix)) throw unavailable('the storage lists what was not asked for')
  return key.slice(prefix.length)
}
