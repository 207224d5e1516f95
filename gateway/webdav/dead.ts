/**
 * Dead properties (RFC 4918, section 4): how they are kept among the properties of an object. The key says that they
 * are ours, the value is the whole element, able to stand alone.
 */

import { StorageError } from '../core/errors.ts'
import { keyOf } from './names.ts'
import { parseXml, writeElement, type XmlElement, type XmlName } from './xml.ts'

const prefix = 'dav:'

/** Where a property is kept. */
export function keptUnder({ uri, local }: XmlName): string {
  return `${prefix}{${uri}}${local}`
}

/** What is kept of a property. */
export function keptValue(element: XmlElement): string {
  return writeElement(element)
}

export interface DeadProperty extends XmlName {
  /** The element. */
  readonly xml: string
}

/**
 * Those among the properties of an object, by `keyOf`. What the storage holds is read again, so that nothing that
 * somebody has put there in another way breaks out of an answer.
 */
export function deadAmong(properties: ReadonlyMap<string, string>): ReadonlyMap<string, DeadProperty> {
  const found = new Map<string, DeadProperty>()
  for (const [key, xml] of properties) {
    const name = nameOf(key)
    if (name && isElement(name, xml)) found.set(keyOf(name), { ...name, xml })
  }
  return found
}

function nameOf(key: string): XmlName | undefined {
  const end = key.lastIndexOf('}')
  if (!key.startsWith(`${prefix}{`) || end < 0) return undefined
  return { uri: key.slice(prefix.length + 1, end), local: key.slice(end + 1) }
}

function isElement({ uri, local }: XmlName, xml: string): boolean {
  try {
    const element = parseXml(Buffer.from(xml))
    return element.uri === uri && element.local === local && xml.startsWith('<') && !xml.startsWith('<?')
  } catch (error) {
    if (error instanceof StorageError) return false
    throw error
  }
}
