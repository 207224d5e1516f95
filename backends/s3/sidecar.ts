/**
 * What a sidecar holds: a small object beside each object or directory, as JSON.
 *
 *     {"format": 1, "stamp": "…", "acl": {as in acl/codec/json.ts}, "properties": [["name", "value"]],
 *      "digests": {"version": "…", "values": {"md5": "hex"}, "record": "…"}, "modified": {"version": "…", "at": "ns", "time": "ns"},
 *      "moving": {"version": "…", "before": {as a whole one}, "after": {as a whole one}}}
 *
 * `stamp` makes equal contents two states. A sidecar that tells a time has an odd number of bytes and every other one
 * an even number: listings show sizes, so that only these need to be read for a listing without ACLs.
 */

import type { Acl } from '../../acl/acl.ts'
import { aclFromJson, aclToJson } from '../../acl/codec/json.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Digests } from '../backend.ts'
import { digestKinds } from '../digesting.ts'

export interface Sidecar {
  /** Absent: what the directory's gives by inheritance. */
  readonly acl?: Acl
  readonly properties?: ReadonlyMap<string, string>
  /** Of the bytes of this content version alone; `record` as in Kept. */
  readonly digests?: KeptDigests
  readonly modified?: SetTime
  /** Of a file that another one is just replacing by a rename. */
  readonly moving?: Moving
}

export interface KeptDigests {
  readonly version: string
  readonly values: Digests
  readonly record?: string
}

/** What a rename that was stopped is brought to an end with. */
export interface Moving {
  /** Of the bytes that are replaced. */
  readonly version: string
  /** Absent: there was no sidecar. */
  readonly before?: Sidecar
  readonly after: Sidecar
}

/** A modification time that was set. It holds while the object is of this version and the store's own time of it is `at`. */
export interface SetTime {
  readonly version: string
  /** ns since 1970. */
  readonly at: bigint
  /** ns since 1970. */
  readonly time: bigint
}

/** Largest sidecar that is read or written, in bytes. */
export const maxSidecarBytes = 512 * 1024

/** Whether a sidecar of so many bytes tells a modification time. */
export function tellsTime(size: number): boolean {
  return size % 2 === 1
}

/** The bytes to store. Throws `too-large`. */
export function encodeSidecar(sidecar: Sidecar, stamp: string): Buffer {
  const text = JSON.stringify({ ...jsonOf(sidecar), stamp })
  const plain = Buffer.from(text)
  const isOdd = sidecar.modified !== undefined
  const bytes = tellsTime(plain.length) === isOdd ? plain : Buffer.from(`${text}\n`)
  if (bytes.length <= maxSidecarBytes) return bytes
  throw new StorageError('too-large', 'ACL and properties together are too large')
}

function jsonOf({ acl, properties, digests, modified, moving }: Sidecar): Json {
  return {
    format: 1,
    ...(acl && { acl: aclToJson(acl) }),
    ...(properties && properties.size > 0 && { properties: [...properties] }),
    ...(digests && { digests: { ...digests, values: hexOf(digests.values) } }),
    ...(modified && {
      modified: { version: modified.version, at: String(modified.at), time: String(modified.time) },
    }),
    ...(moving && {
      moving: {
        version: moving.version,
        ...(moving.before && { before: jsonOf(moving.before) }),
        after: jsonOf(moving.after),
      },
    }),
  }
}

/** Undefined for anything that `encodeSidecar` does not write. */
export function decodeSidecar(bytes: Uint8Array): Sidecar | undefined {
  if (bytes.length > maxSidecarBytes) return undefined
  try {
    const json = record(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
    const { moving } = json
    return { ...sidecarOf(json), ...(moving !== undefined && { moving: movingOf(record(moving)) }) }
  } catch {
    // Whatever is wrong with it: it is not one of ours.
    return undefined
  }
}

function sidecarOf({ format, acl, properties, digests, modified }: Json): Sidecar {
  if (format !== 1) throw new TypeError('not of this format')
  return {
    ...(acl !== undefined && { acl: aclFromJson(acl) }),
    ...(properties !== undefined && { properties: pairsOf(properties) }),
    ...(digests !== undefined && { digests: digestsOf(record(digests)) }),
    ...(modified !== undefined && { modified: timeOf(record(modified)) }),
  }
}

function movingOf({ version, before, after }: Json): Moving {
  return {
    version: text(version),
    ...(before !== undefined && { before: sidecarOf(record(before)) }),
    after: sidecarOf(record(after)),
  }
}

function hexOf(digests: Digests): Record<string, string> {
  return Object.fromEntries(Object.entries(digests).map(([kind, value]) => [kind, Buffer.from(value).toString('hex')]))
}

function digestsOf({ version, values, record: kept }: Json): KeptDigests {
  const given = record(values)
  const known = digestKinds.filter((kind) => given[kind] !== undefined)
  return {
    version: text(version),
    ...(kept !== undefined && { record: text(kept) }),
    values: Object.fromEntries(known.map((kind) => [kind, Buffer.from(text(given[kind], /^([0-9a-f]{2})+$/), 'hex')])),
  }
}

function timeOf({ version, at, time }: Json): SetTime {
  const number = /^-?\d{1,19}$/
  return { version: text(version), at: BigInt(text(at, number)), time: BigInt(text(time, number)) }
}

function pairsOf(value: unknown): Map<string, string> {
  if (!Array.isArray(value)) throw new TypeError('not a list')
  return new Map(value.map((pair: unknown) => [text(list(pair)[0]), text(list(pair)[1])]))
}

type Json = Readonly<Record<string, unknown>>

function record(value: unknown): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw new TypeError('not an object')
}

function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value) && value.length === 2) return value
  throw new TypeError('not a pair')
}

function text(value: unknown, pattern = /^/): string {
  if (typeof value === 'string' && pattern.test(value)) return value
  throw new TypeError('not the text that is expected')
}
