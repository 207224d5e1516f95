/** Parts in the spool are sent to the back end one after the other, like the bytes of any upload. */

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Digest } from '../../backends/backend.ts'
import { StorageError } from './errors.ts'
import { type Completion, wholeDigests } from './part-completing.ts'
import { PartError } from './parts.ts'
import type { SpooledDraft } from './spool.ts'
import type { Written } from './storage.ts'
import { gone } from './upload-turns.ts'
import { startUpload } from './writing.ts'

/** Makes the file. What is in the spool stays. */
export async function pourParts(completion: Completion): Promise<Written> {
  const { means, task, turn, size, conditions, record } = completion
  const { row } = turn
  const draft = await means.spool.open(row.place, { shared: true }).catch((error) => {
    throw StorageError.from(error).code === 'not-found' ? gone() : error
  })
  try {
    const expected = wholeDigests(completion)
    const digests = Object.keys(expected) as Digest[]
    const options = { conditions, size, digests, expected, ...(record !== undefined && { record }) }
    const upload = await startUpload(means.gate, task, row.path, options, 'new')
    try {
      await pipeline(Readable.from(bytesOf(completion, draft), { objectMode: false }), upload.body, {
        signal: turn.signal,
      })
      await completion.proceed()
      return await upload.commit()
    } catch (error) {
      await upload.discard()
      throw turn.signal.aborted ? turn.signal.reason : error
    }
  } finally {
    await draft.close()
  }
}

async function* bytesOf({ parts, turn, proceed }: Completion, draft: SpooledDraft): AsyncGenerator<Buffer> {
  for (const { number, offset, size } of parts) {
    if (size > 0 && draft.size < offset + size) throw new PartError(number, turn.row.path)
    for await (const chunk of draft.stream({ start: offset, end: offset + size })) {
      await proceed()
      yield chunk
    }
  }
}
