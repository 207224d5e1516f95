/** Changes of properties, all or nothing: PROPPATCH and the properties of a new collection. */

import type { Changes } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { parseHttpDate } from '../http/dates.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Instruction } from './bodies.ts'
import { keptUnder, keptValue } from './dead.ts'
import { propstat } from './multistatus.ts'
import { apache, keyOf, microsoft } from './names.ts'
import { conditionOf } from './problem.ts'
import { live } from './properties.ts'
import { dav, emptyElement, textOf, type XmlName } from './xml.ts'

/** A live property that clients set, and the change it stands for. */
type Setter = (text: string) => Changes

const setters: ReadonlyMap<string, Setter> = new Map<string, Setter>([
  [keyOf({ uri: dav, local: 'getlastmodified' }), (text) => ({ modified: timeOf(text) })],
  [keyOf({ uri: dav, local: 'lastmodified' }), (text) => ({ modified: timeOf(text) })],
  [keyOf({ uri: microsoft, local: 'Win32LastModifiedTime' }), (text) => ({ modified: timeOf(text) })],
  [keyOf({ uri: microsoft, local: 'Win32LastAccessTime' }), (text) => ({ accessed: timeOf(text) })],
])
const executable = keyOf({ uri: apache, local: 'executable' })

/** What is to become of the resource. */
export interface Change {
  readonly names: readonly XmlName[]
  /** Of live properties. Some depend on the mode that is there, which `mode` asks for. */
  attributes(mode: () => Promise<number | undefined>): Promise<Changes | undefined>
  readonly properties: ReadonlyMap<string, string | undefined>
  /** What cannot be changed, with the status to say so. */
  readonly refused: ReadonlyMap<string, Refusal>
}

interface Refusal {
  readonly status: number
  /** XML for DAV:error; '' for none. */
  readonly condition: string
}

const isProtected: Refusal = { status: 403, condition: '<D:cannot-modify-protected-property/>' }
const isNonsense: Refusal = { status: 409, condition: '' }

/** Instructions in document order: of several about one property the last one counts (RFC 4918, section 9.2). */
export function changeOf(instructions: readonly Instruction[]): Change {
  const names = new Map<string, XmlName>()
  const properties = new Map<string, string | undefined>()
  const refused = new Map<string, Refusal>()
  let attributes: Changes = {}
  let runs: boolean | undefined
  for (const { name, value } of instructions) {
    const key = keyOf(name)
    names.set(key, name)
    const set = setters.get(key)
    if (value && (set || key === executable)) {
      const text = textOf(value)
      try {
        if (set) attributes = { ...attributes, ...set(text) }
        else runs = flagOf(text)
      } catch {
        // Only `invalid` is thrown there.
        refused.set(key, isNonsense)
      }
    } else if (live.has(key) && !live.get(key)?.overridable) refused.set(key, isProtected)
    else properties.set(keptUnder(name), value && keptValue(value))
  }
  return {
    names: [...names.values()],
    properties,
    refused,
    async attributes(ask) {
      const mode = runs === undefined ? undefined : await ask()
      const wanted = { ...attributes, ...(runs !== undefined && mode !== undefined && { mode: runnable(mode, runs) }) }
      return Object.keys(wanted).length === 0 ? undefined : wanted
    },
  }
}

/** Of HTTP, in whole seconds. Throws `invalid`. */
function timeOf(text: string): bigint {
  const seconds = parseHttpDate(text)
  if (seconds === undefined || seconds < 0) throw new StorageError('invalid', 'this is no date')
  return BigInt(seconds) * 1_000_000_000n
}

function flagOf(text: string): boolean {
  if (text === 'T' || text === 'F') return text === 'T'
  throw new StorageError('invalid', 'executable is T or F')
}

/** Whoever may read the file may run it, or nobody. */
function runnable(mode: number, runs: boolean): number {
  return runs ? mode | ((mode & 0o444) >> 2) : mode & ~0o111
}

/**
 * Makes the change. `undefined`: it is made; otherwise the propstats that tell what kept it from being made, and
 * nothing has changed. Throws what concerns the resource as a whole.
 */
export async function applyChange(x: Exchange, change: Change): Promise<string | undefined> {
  if (change.refused.size > 0) return failure(change.names, change.refused)
  try {
    await makeChange(x, change)
    return undefined
  } catch (thrown) {
    const error = StorageError.from(thrown)
    if (!ofProperties.has(error.code)) throw error
    const status = x.statusOf(error.code)
    const refusal = { status, condition: conditionOf(x, error) }
    return failure(change.names, new Map(change.names.map((name) => [keyOf(name), refusal])))
  }
}

/** Failures that a client may put right by changing less. */
const ofProperties: ReadonlySet<string> = new Set(['too-large', 'quota', 'no-space', 'unsupported', 'not-owner'])

/** Two calls of Storage at most; what the first one did is taken back where the second one fails. */
async function makeChange(x: Exchange, change: Change): Promise<void> {
  const { storage } = x.door
  const attributes = await change.attributes(async () => (await storage.stat(x.call, x.path)).mode)
  const { properties } = change
  const before =
    attributes && properties.size > 0 ? await storage.getProperties(x.call, x.path) : new Map<string, string>()
  if (properties.size > 0) await keep(x, properties)
  if (!attributes) return
  try {
    await storage.setAttributes(x.call, x.path, attributes)
  } catch (error) {
    await takeBack(x, new Map([...properties.keys()].map((name) => [name, before.get(name)])))
    throw error
  }
}

/** As far as it can be: what is answered is why the change could not be made. */
async function takeBack(x: Exchange, properties: Change['properties']): Promise<void> {
  if (properties.size === 0) return
  try {
    await x.door.storage.setProperties(x.call, x.path, properties)
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
  }
}

/** Windows sets its attributes and times after every copy, and takes a refusal for a failed copy. */
async function keep(x: Exchange, properties: Change['properties']): Promise<void> {
  try {
    await x.door.storage.setProperties(x.call, x.path, properties)
  } catch (error) {
    const isWindows = [...properties.keys()].every((key) => key.startsWith(windowsKeys))
    if (!isWindows || !(error instanceof StorageError) || error.code !== 'unsupported') throw error
  }
}

const windowsKeys = keptUnder({ uri: microsoft, local: 'Win32' })

/** RFC 4918, section 9.2: the others failed because these did. */
function failure(names: readonly XmlName[], refused: ReadonlyMap<string, Refusal>): string {
  const groups = new Map<string, { readonly refusal: Refusal; elements: string }>()
  let others = ''
  for (const name of names) {
    const refusal = refused.get(keyOf(name))
    if (!refusal) {
      others += emptyElement(name)
      continue
    }
    const key = `${refusal.status} ${refusal.condition}`
    const group = groups.get(key) ?? { refusal, elements: '' }
    group.elements += emptyElement(name)
    groups.set(key, group)
  }
  const told = [...groups.values()].map(({ refusal, elements }) =>
    propstat(elements, refusal.status, refusal.condition),
  )
  return told.join('') + propstat(others, 424)
}
