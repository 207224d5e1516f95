/** What WebDAV's XML needs beyond parsing: elements that are kept and put into other documents. */

import { escapeXml, type XmlElement, type XmlName } from '../http/xml.ts'

export {
  childrenOf,
  elementsIn,
  escapeXml,
  parseXml,
  textOf,
  type XmlElement,
  type XmlName,
  xmlLimits,
} from '../http/xml.ts'

export const dav = 'DAV:'

/**
 * An element as text that means the same wherever it is put: it brings all its namespaces along, and the language in
 * scope. Prefixes stay as they were (RFC 4918, section 4.3).
 */
export function writeElement(element: XmlElement): string {
  const lang = element.lang === undefined ? [] : [['xml:lang', element.lang] as const]
  const named = element.attributes.some(({ name }) => name === 'xml:lang')
  return write(element, new Map([['', '']]), named ? [] : lang)
}

type Scope = ReadonlyMap<string, string>

function write(element: XmlElement, outer: Scope, more: ReadonlyArray<readonly [string, string]>): string {
  const { prefix, local, uri, attributes, children } = element
  const scope = new Map(outer)
  let head = ''
  const declare = (name: string, value: string) => {
    if (name === 'xml' || scope.get(name) === value) return
    scope.set(name, value)
    head += ` xmlns${name === '' ? '' : `:${name}`}="${escapeXml(value)}"`
  }
  for (const [name, value] of element.declared) declare(name, value)
  declare(prefix, uri)
  for (const attribute of attributes) if (attribute.prefix !== '') declare(attribute.prefix, attribute.uri)
  for (const [name, value] of more) head += ` ${name}="${escapeXml(value)}"`
  for (const { name, value } of attributes) head += ` ${name}="${escapeXml(value)}"`
  const name = prefix === '' ? local : `${prefix}:${local}`
  if (children.length === 0) return `<${name}${head}/>`
  let text = `<${name}${head}>`
  for (const child of children) text += typeof child === 'string' ? escapeXml(child) : write(child, scope, [])
  return `${text}</${name}>`
}

/** An empty element of any name, wherever it is put. */
export function emptyElement({ uri, local }: XmlName): string {
  return uri === dav ? `<D:${local}/>` : `<${local} xmlns="${escapeXml(uri)}"/>`
}
