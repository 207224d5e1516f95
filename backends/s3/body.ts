/** Bodies of answers: bounded where they are collected, watched where they flow, and looked at before they are believed. */

import type { Readable } from 'node:stream'
import { abortOf, unavailable } from './errors.ts'

/** Collects at most `limit` bytes; throws `unavailable` when there are more. An abort or a failure ends the body. */
export async function collect(body: Readable, limit: number, signal?: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  const end = () => body.destroy(signal && abortOf(signal))
  signal?.addEventListener('abort', end, { once: true })
  try {
    if (signal?.aborted) throw abortOf(signal)
    for await (const chunk of body) {
      size += (chunk as Buffer).length
      if (size > limit) throw unavailable('the storage sent more than was asked for')
      parts.push(chunk as Buffer)
    }
    return Buffer.concat(parts)
  } finally {
    signal?.removeEventListener('abort', end)
    body.destroy()
  }
}

/**
 * The chunks of a body. Fails with `unavailable` when none comes for `stall` ms while one is waited for, and with the
 * reason of the signal when that aborts.
 */
export async function* chunksOf(body: Readable, stall: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  let waiting = false
  const timer = setTimeout(() => {
    if (waiting) body.destroy(unavailable('the storage sends nothing any more'))
  }, stall)
  const end = () => body.destroy(abortOf(signal))
  signal.addEventListener('abort', end, { once: true })
  try {
    if (signal.aborted) throw abortOf(signal)
    const iterator = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    for (;;) {
      // Time that the reader takes is not the storage's.
      waiting = true
      timer.refresh()
      const next = await iterator.next()
      waiting = false
      if (next.done) return
      yield next.value
    }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
    body.destroy()
  }
}

/** Root elements of the answers that are read (Amazon S3 API Reference). */
const roots: Readonly<Record<string, string>> = {
  ListObjectsV2Command: 'ListBucketResult',
  CopyObjectCommand: 'CopyObjectResult',
  UploadPartCopyCommand: 'CopyPartResult',
  CreateMultipartUploadCommand: 'InitiateMultipartUploadResult',
  CompleteMultipartUploadCommand: 'CompleteMultipartUploadResult',
}

/**
 * The body of an answer to be parsed. A success must be the document of its command, and whole: throws `unavailable`
 * for HTML, for one cut off, and for an error that came after the status (CopyObject, CompleteMultipartUpload). Of a
 * failure only an S3 error document is kept. Without one, 404 and 503 are not believed: they are what stands between us
 * and the store, so that neither an object is known to be missing nor a request not to have been carried out.
 */
export function checkedDocument(command: string, status: number, bytes: Buffer): Buffer {
  const text = bytes.toString().trim()
  const name = /^(?:<\?xml[^>]*\?>\s*)?<([A-Za-z]{1,64})[\s/>]/.exec(text)?.[1]
  // One that is cut off does not end the element that it began with.
  const whole = name !== undefined && (text.endsWith(`</${name}>`) || new RegExp(`<${name}[^<>]*/>$`).test(text))
  if (status >= 300) {
    if (whole && name === 'Error') return bytes
    // The answer to HEAD has no document (RFC 9110, section 9.3.2).
    const isDoubtful = status === 503 || (status === 404 && command !== 'HeadObjectCommand')
    if (isDoubtful) throw unavailable('something else than the storage answered')
    return Buffer.alloc(0)
  }
  const expected = roots[command]
  if (expected === undefined || (whole && name === expected)) return bytes
  throw unavailable('the storage answered with something else than was asked for')
}
