/** PUT (RFC 9110, section 9.3.4): all or nothing, under the conditions given. */

import { StorageError } from '../core/errors.ts'
import type { Conditions, WriteOptions, Writing, Written } from '../core/storage.ts'
import { parseConditions } from '../http/conditions.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { receiveBody, sendContinue } from '../http/receive.ts'
import { respond } from '../http/respond.ts'
import { lengthOf, tellingOf, writeOptionsOf, writtenAnswer } from '../http/writing.ts'
import { applyIf, withIf } from './if-header.ts'

export const put: Method = {
  action: 'create',
  async run(x) {
    const options = writeOptions(x, withIf(x, parseConditions(x.request.headers, 'PUT')))
    const writing = await x.door.storage.write(x.call, x.path, options)
    let written: Written
    try {
      sendContinue(x)
      written = await receive(x, writing, options)
    } catch (error) {
      await writing.discard(error)
      throw error
    }
    await answer(x, written)
  },
}

async function receive(x: Exchange, writing: Writing, { size }: WriteOptions): Promise<Written> {
  await receiveBody(x, writing.body, Math.min(x.door.maxUpload, size ?? Number.POSITIVE_INFINITY))
  // What follows the announced bytes is no request: the sender and its Content-Length disagree.
  if (x.connection.broken) throw new StorageError('invalid', 'the body is not as long as announced')
  return writing.commit()
}

async function answer(x: Exchange, written: Written): Promise<void> {
  const { status, headers } = writtenAnswer(x, x.path, written, tellingOf(x.request.headers))
  await respond(x, status, headers)
}

/** Of a request that is going to write x.path: submits the tokens of its If header. Throws `precondition` as that has it. */
export async function writeConditions(x: Exchange): Promise<Conditions | undefined> {
  await applyIf(x)
  return withIf(x, parseConditions(x.request.headers, 'PUT'))
}

function writeOptions(x: Exchange, conditions: Conditions | undefined): WriteOptions {
  if (x.slash || x.path === '/')
    throw new StorageError('is-directory', 'a file is not written at a path with a final slash')
  const options = writeOptionsOf(x.request.headers, conditions)
  const size = announcedSize(x)
  return { ...options, ...(size !== undefined && { size }) }
}

/** Content-Length; for a chunked body what Finder says of it. Throws 411 for a body that is not announced at all. */
function announcedSize(x: Exchange): number | undefined {
  const { headers } = x.request
  const length = headers['content-length']
  if (length === undefined && headers['transfer-encoding'] === undefined) {
    throw new HttpError(411, 'invalid', 'the length of the body is missing')
  }
  const text = length ?? headers['x-expected-entity-length']
  return text === undefined ? undefined : lengthOf(x, text)
}
