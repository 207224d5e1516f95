/** Digests kept with a file, under the content version they were made of. */

import type { Digest, Digests } from '../backend.ts'
import type { Caller, Desk } from './desk.ts'
import type { Handle } from './handles.ts'
import type { PosixSetup } from './options.ts'
import { attributeNames, digestKey } from './properties.ts'
import type { Labels } from './staging.ts'

/** Digests as an attribute is to hold them. */
export function digestsToKeep(setup: PosixSetup, digests: Digests): Labels | undefined {
  const entries = Object.entries(digests).filter((entry) => entry[1] !== undefined)
  if (entries.length === 0) return undefined
  const encoded = entries.map(([kind, bytes]) => [kind, Buffer.from(bytes).toString('base64')])
  return { name: attributeNames(setup).digests, digests: Object.fromEntries(encoded) }
}

/** Digests of one version, as kept; none if they are of another one. */
export async function readDigests(desk: Desk, object: Handle, version: string, caller: Caller): Promise<Digests> {
  const { digests } = attributeNames(desk.setup)
  const read = await desk.run('readAttributes', { object: object.ref, names: [digests] }, caller)
  const [value] = read.values
  if (value) return parseDigests(Buffer.from(value).toString('utf8'), version)
  const stored = (await desk.services.overflow.get(desk.name, read.overflow)).get(digestKey)
  return stored === undefined ? {} : parseDigests(stored, version)
}

/** Keeps digests for which a new file has no room. */
export async function keepDigestsElsewhere(desk: Desk, id: string, version: string, labels: Labels): Promise<void> {
  const text = JSON.stringify({ version, digests: labels.digests })
  await desk.services.overflow.set(desk.name, id, new Map([[digestKey, text]]))
}

/** Keeps digests where there is room, and lets it be where the caller may not. */
export async function writeDigests(
  desk: Desk,
  object: Handle,
  version: string,
  digests: Digests,
  caller: Caller,
): Promise<void> {
  const labels = digestsToKeep(desk.setup, digests)
  if (!labels) return
  const value = new Uint8Array(Buffer.from(JSON.stringify({ version, digests: labels.digests })))
  try {
    const outcome = await desk.run('writeAttributes', { object: object.ref, values: [[labels.name, value]] }, caller)
    if (outcome === 'done') return
    const read = await desk.run('readAttributes', { object: object.ref, names: [] }, caller)
    await keepDigestsElsewhere(desk, read.overflow, version, labels)
  } catch (error) {
    // They are true whether kept or not. Reading a file does not take the right to write its attributes.
    desk.log(`${desk.name}: digests could not be kept`, error)
  }
}

function parseDigests(text: string, version: string): Digests {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Somebody else has written to it; they are computed anew.
    return {}
  }
  if (typeof value !== 'object' || value === null) return {}
  const { version: of, digests } = value as Readonly<Record<string, unknown>>
  if (of !== version || typeof digests !== 'object' || digests === null) return {}
  const found: Partial<Record<Digest, Uint8Array>> = {}
  for (const [kind, encoded] of Object.entries(digests)) {
    const size = digestSizes.get(kind)
    const bytes = typeof encoded === 'string' ? Buffer.from(encoded, 'base64') : undefined
    if (bytes && bytes.length === size) found[kind as Digest] = bytes
  }
  return found
}

const digestSizes: ReadonlyMap<string, number> = new Map<Digest, number>([
  ['adler32', 4],
  ['crc32c', 4],
  ['md5', 16],
  ['sha-256', 32],
  ['sha-512', 64],
])
