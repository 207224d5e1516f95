/** Requests of tus, for the tests of this folder. */

import type { Readable } from 'node:stream'
import type { Asked } from '../gateway/harness.ts'
import type { Answer, Sent } from '../gateway/http.ts'

/** Whatever requests are sent to, with the credential in the request. */
export type Ask = (asked: Asked) => Promise<Answer>

export const tusVersion = { 'Tus-Resumable': '1.0.0' } as const
export const offsetStream = 'application/offset+octet-stream'
export const partialUpload = 'application/partial-upload'
export const endpoint = '/.portolan/uploads/'

/** Upload-Metadata. */
export function metadataOf(values: Readonly<Record<string, string | Buffer>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .join(',')
}

/** Makes an upload as alice, to become `path`, and gives the path of its URL. */
export async function makeUpload(
  ask: Ask,
  path: string,
  length: number,
  headers: NonNullable<Sent['headers']> = {},
): Promise<string> {
  const metadata = metadataOf({ path })
  const all = { ...tusVersion, 'Upload-Length': length, 'Upload-Metadata': metadata, ...headers }
  const { status, text, headers: told } = await ask({ method: 'POST', path: endpoint, user: 'alice', headers: all })
  if (status !== 201 || told.location === undefined) throw new Error(`no upload: ${status} ${text}`)
  return new URL(told.location).pathname
}

/** One PATCH of tus, as alice. */
export function appendTo(
  ask: Ask,
  path: string,
  offset: number,
  body: string | Buffer | Readable,
  headers: Sent['headers'] = {},
) {
  const all = { ...tusVersion, 'Upload-Offset': offset, 'Content-Type': offsetStream, ...headers }
  return ask({ method: 'PATCH', path, user: 'alice', body, headers: all })
}
