/**
 * Answers that may take long: the status goes out before the outcome is known, and white space keeps the connection in
 * use (Amazon S3 API Reference, CompleteMultipartUpload). What fails then is told by an Error element with status 200.
 */

import { errorElement, s3ErrorOf } from './errors.ts'
import type { ObjectRequest } from './s3-request.ts'
import { namespace, sendXml, xmlHead, xmlType } from './xml.ts'

/** ms until the answer begins without its outcome, and between signs of life: clients wait for a minute. */
const patience = 10_000

/**
 * Sends the content that `work` comes to as a document of this root, or throws what it throws. Once the answer has begun
 * the error is sent before it is thrown, for the log.
 */
export async function answerLasting(
  request: ObjectRequest,
  root: string,
  work: () => Promise<string>,
  every: number = patience,
): Promise<void> {
  const { x } = request
  const life = new Life(request, every)
  let content: string
  try {
    content = await work()
  } catch (error) {
    life.fail(error)
    throw error
  } finally {
    life.stop()
  }
  if (!life.begun) return sendXml(x, root, content)
  x.response.end(`<${root} xmlns="${namespace}">${content}</${root}>`)
}

class Life {
  readonly #request: ObjectRequest
  readonly #timer: NodeJS.Timeout
  begun = false

  constructor(request: ObjectRequest, every: number) {
    this.#request = request
    this.#timer = setInterval(() => this.#tell(), every)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  fail(error: unknown): void {
    const { x, bucket, key, method } = this.#request
    if (!this.begun || x.response.destroyed) return
    const subject = { bucket: bucket.name, key }
    x.response.end(errorElement(x, s3ErrorOf(x.failureOf(error), subject, method), subject))
  }

  #tell(): void {
    const { response, id } = this.#request.x
    if (response.destroyed || response.writableEnded) return
    if (this.begun) {
      response.write(' ')
      return
    }
    this.begun = true
    response.writeHead(200, ['Content-Type', xmlType, 'X-Request-Id', id])
    response.write(xmlHead)
  }
}
