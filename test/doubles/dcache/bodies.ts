/** Small request bodies. */

import { Failure } from './failure.ts'
import type { Ask } from './serving.ts'

const most = 16 * 1024 * 1024

export async function bodyText(ask: Ask): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of ask.body()) {
    size += chunk.length
    if (size > most) throw new Failure('bad-request', 'Request entity too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** A JSON object. */
export async function bodyObject(ask: Ask): Promise<Readonly<Record<string, unknown>>> {
  try {
    const json: unknown = JSON.parse(await bodyText(ask))
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new Failure('bad-request', 'A JSONObject text must begin with {')
}

/** A member that must be text. */
export function textOf(json: Readonly<Record<string, unknown>>, name: string): string {
  const value = json[name]
  if (typeof value !== 'string') throw new Failure('bad-request', `JSONObject["${name}"] is not a string`)
  return value
}

export function numberOf(json: Readonly<Record<string, unknown>>, name: string): number {
  const value = json[name]
  if (typeof value !== 'number') throw new Failure('bad-request', `JSONObject["${name}"] is not a number`)
  return value
}

/** A member that is an array of text; one text counts as an array of it where `alone` says so. */
export function textsOf(json: Readonly<Record<string, unknown>>, name: string, alone = false): string[] {
  const value = json[name]
  if (alone && typeof value === 'string') return [value]
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) {
    throw new Failure('bad-request', `JSONObject["${name}"] is not a JSONArray of strings`)
  }
  return value as string[]
}
