/** The text that is kept with a file: `{"version": "…", "digests": {"md5": "base64"}, "record": "…"}`. */

import type { Digest, Kept } from '../backend.ts'
import { digestSizes } from '../digesting.ts'

/** What a text is made of, but for the version. */
export interface Labels {
  /** Name of the attribute that holds it. */
  readonly name: string
  /** Name of the one that says that it is in the overflow store. */
  readonly marker: string
  /** In base64. */
  readonly digests: Readonly<Record<string, string>>
  readonly record?: string
}

export function textOfKept(version: string, { digests, record }: Labels): string {
  return JSON.stringify({ version, digests, record })
}

/** Nothing for other versions, and for what somebody else has written there. */
export function parseKept(text: string, version: string): Kept {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { digests: {} }
  }
  if (!isRecord(value) || value.version !== version) return { digests: {} }
  const { digests, record } = value
  const found: Partial<Record<Digest, Uint8Array>> = {}
  for (const [kind, encoded] of isRecord(digests) ? Object.entries(digests) : []) {
    const bytes = typeof encoded === 'string' ? Buffer.from(encoded, 'base64') : undefined
    if (bytes && Object.hasOwn(digestSizes, kind) && bytes.length === digestSizes[kind as Digest]) {
      found[kind as Digest] = bytes
    }
  }
  return { digests: found, ...(typeof record === 'string' && { record }) }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
