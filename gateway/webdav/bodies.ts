/** What the XML bodies of PROPFIND, PROPPATCH and MKCOL ask for (RFC 4918, section 14; RFC 5689). */

import { StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'
import { keyOf } from './names.ts'
import { childrenOf, dav, elementsIn, type XmlElement, type XmlName } from './xml.ts'

/** Properties of one request. */
const most = 1000
/** Characters of their names, namespaces with each: the answer may repeat them for every resource. */
const mostText = 64 * 1024

export type Asked =
  | { readonly kind: 'all'; readonly include: readonly XmlName[] }
  | { readonly kind: 'names' }
  | { readonly kind: 'some'; readonly names: readonly XmlName[] }

/** No body asks for everything. Throws `invalid`. */
export function parsePropfind(root: XmlElement | undefined): Asked {
  if (!root) return { kind: 'all', include: [] }
  requireRoot(root, 'propfind')
  const [all] = childrenOf(root, dav, 'allprop')
  const [names] = childrenOf(root, dav, 'propname')
  const some = childrenOf(root, dav, 'prop')
  if (Number(all !== undefined) + Number(names !== undefined) + some.length !== 1) {
    throw new StorageError('invalid', 'a propfind is for one of allprop, propname and prop')
  }
  if (names) return { kind: 'names' }
  if (all) return { kind: 'all', include: namesIn(childrenOf(root, dav, 'include')) }
  return { kind: 'some', names: namesIn(some) }
}

function namesIn(parents: readonly XmlElement[]): XmlName[] {
  const found = new Map<string, XmlName>()
  for (const { uri, local } of parents.flatMap(elementsIn)) found.set(keyOf({ uri, local }), { uri, local })
  const names = [...found.values()]
  if (names.length > most || textIn(names) > mostText) throw new StorageError('too-large', 'too many properties')
  return names
}

/** One change of a property. */
export interface Instruction {
  /** The element as it is to be stored; undefined removes the property. */
  readonly value: XmlElement | undefined
  readonly name: XmlName
}

/** In document order. Throws `invalid`. */
export function parsePropertyUpdate(root: XmlElement | undefined): readonly Instruction[] {
  if (!root) throw new StorageError('invalid', 'the body is missing')
  requireRoot(root, 'propertyupdate')
  const instructions = elementsIn(root).flatMap((part): Instruction[] => {
    if (part.uri !== dav || (part.local !== 'set' && part.local !== 'remove')) return []
    return propertiesOf(part).map((name) => ({ name, value: part.local === 'set' ? name : undefined }))
  })
  return bounded(instructions)
}

/** The properties of a directory to be made, without its type. Throws `invalid`, or 403 where another type is wanted. */
export function parseMkcol(root: XmlElement): readonly Instruction[] {
  requireRoot(root, 'mkcol')
  const properties = childrenOf(root, dav, 'set').flatMap(propertiesOf)
  const isType = ({ uri, local }: XmlName) => uri === dav && local === 'resourcetype'
  for (const type of properties.filter(isType)) requirePlainCollection(type)
  return bounded(properties.filter((name) => !isType(name)).map((name) => ({ name, value: name })))
}

/** RFC 5689, section 3: `valid-resourcetype`. */
function requirePlainCollection(type: XmlElement): void {
  const kinds = elementsIn(type)
  if (kinds.length === 1 && kinds[0]?.uri === dav && kinds[0].local === 'collection') return
  throw new HttpError(403, 'unsupported', 'only plain collections can be made')
}

function propertiesOf(part: XmlElement): XmlElement[] {
  const properties = childrenOf(part, dav, 'prop').flatMap(elementsIn)
  if (properties.length === 0) throw new StorageError('invalid', `${part.local} without a property`)
  return properties
}

function bounded(instructions: readonly Instruction[]): readonly Instruction[] {
  const names = instructions.map(({ name }) => name)
  if (names.length > most || textIn(names) > mostText) throw new StorageError('too-large', 'too many properties')
  return instructions
}

function textIn(names: readonly XmlName[]): number {
  return names.reduce((sum, { uri, local }) => sum + uri.length + local.length, 0)
}

function requireRoot({ uri, local }: XmlElement, name: string): void {
  if (uri !== dav || local !== name) throw new StorageError('invalid', `the body is no DAV:${name}`)
}
