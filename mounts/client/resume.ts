/** Downloads that survive broken connections. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Client, GetOptions } from './client.ts'
import { connectionError } from './errors.ts'

/** Attempts in a row that brought no byte. */
const maxFailures = 4
const pause = 500

export interface Opened {
  readonly etag: string | undefined
  /** Bytes of the whole file, if told. */
  readonly size: number | undefined
  /** To be read once, and to its end or given up. */
  bytes(): AsyncGenerator<Buffer>
}

/**
 * Opens a file for reading. Where the connection breaks, reading goes on behind the last byte, if the file
 * is still the same; otherwise it throws `precondition`. Errors of the first answer are thrown at once.
 */
export async function openRemote(client: Client, path: Path, options: GetOptions = {}): Promise<Opened> {
  const first = await client.get(path, options)
  const { etag, size } = first
  return {
    etag,
    size,
    async *bytes() {
      let { body, length } = first
      let at = options.start ?? 0
      let end = length === undefined ? undefined : at + length
      for (let failures = 0; ; ) {
        const before = at
        try {
          for await (const chunk of body as AsyncIterable<Buffer>) {
            at += chunk.length
            yield chunk
          }
          if (end === undefined || at === end) return
          throw new StorageError('unavailable', 'the file ended early')
        } catch (thrown) {
          const error = connectionError(thrown, client.origin)
          failures = at > before ? 1 : failures + 1
          if (error.code !== 'unavailable' || etag === undefined || end === undefined || failures > maxFailures)
            throw error
          await new Promise((resolve) => setTimeout(resolve, pause * failures))
        } finally {
          body.destroy()
        }
        const next = await client.get(path, { ...options, start: at, end, ifMatch: etag })
        body = next.body
        length = next.length
        end = length === undefined ? end : at + length
      }
    },
  }
}
