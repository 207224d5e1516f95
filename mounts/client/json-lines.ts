/** JSON values one a line (NDJSON), read as they come and in bounded memory. */

import { StorageError } from '../../gateway/core/errors.ts'

/** More than an entry with the longest name and link target takes. */
const maxLine = 256 * 1024

/** Throws `unavailable` for what is no JSON, and for a line without end. */
export async function* jsonLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decode(() => decoder.decode(chunk, { stream: true }))).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > maxLine) throw broken()
    for (const line of lines) if (line !== '') yield parse(line)
  }
  rest += decode(() => decoder.decode())
  if (rest.trim() !== '') yield parse(rest)
}

function parse(line: string): unknown {
  return decode(() => JSON.parse(line))
}

function decode<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw broken(cause)
  }
}

function broken(cause?: unknown): StorageError {
  return new StorageError('unavailable', 'the answer is not the list it should be', { cause })
}
