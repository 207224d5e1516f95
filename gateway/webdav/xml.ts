/**
 * XML of requests and answers. Bodies come from outside: no document types, no entities but XML's own five, bounded
 * bytes, depth, elements and attributes, and namespaces as they must be (Namespaces in XML 1.0).
 */

import { SaxesParser, type SaxesTagNS } from 'saxes'
import { StorageError } from '../core/errors.ts'

export const dav = 'DAV:'

/** Of one document. `scoped`: characters of what elements below share and an answer repeats for each: a namespace, a language. */
export const xmlLimits = { bytes: 1024 * 1024, depth: 64, elements: 10_000, attributes: 64, scoped: 1000 } as const

export interface XmlName {
  /** The namespace; '' for none. */
  readonly uri: string
  readonly local: string
}

export interface XmlElement extends XmlName {
  readonly prefix: string
  /** Those that are no namespace declarations. */
  readonly attributes: readonly XmlAttribute[]
  /** Namespaces by prefix that are declared here. */
  readonly declared: ReadonlyArray<readonly [string, string]>
  /** xml:lang in scope. */
  readonly lang: string | undefined
  readonly children: ReadonlyArray<XmlElement | string>
}

interface XmlAttribute {
  /** As written, with its prefix. */
  readonly name: string
  readonly prefix: string
  readonly uri: string
  readonly value: string
}

/** The root element of a whole document. Throws `invalid`, and `too-large` past the limits. */
export function parseXml(bytes: Uint8Array): XmlElement {
  if (bytes.length > xmlLimits.bytes) throw new StorageError('too-large', 'the XML is too long')
  const builder = new Builder()
  const { text, isUtf8 } = decode(bytes)
  builder.parse(text, isUtf8)
  if (!builder.root) throw refuse('there is no element')
  return builder.root
}

/** Elements directly in `element`, by name. */
export function childrenOf(element: XmlElement, uri: string, local: string): XmlElement[] {
  return elementsIn(element).filter((child) => child.uri === uri && child.local === local)
}

/** All elements directly in `element`. */
export function elementsIn(element: XmlElement): XmlElement[] {
  return element.children.filter((child) => typeof child !== 'string')
}

/** The text directly in `element`, trimmed. */
export function textOf(element: XmlElement): string {
  return element.children
    .filter((child) => typeof child === 'string')
    .join('')
    .trim()
}

class Builder {
  readonly #parser = new SaxesParser({ xmlns: true, position: false })
  readonly #open: { element: XmlElement; children: (XmlElement | string)[] }[] = []
  #elements = 0
  #attributes = 0
  root: XmlElement | undefined

  parse(text: string, isUtf8: boolean): void {
    const parser = this.#parser
    parser.on('error', () => {
      throw refuse('it is not well-formed')
    })
    parser.on('doctype', () => {
      throw refuse('document types are not accepted')
    })
    parser.on('xmldecl', ({ encoding }) => {
      if (isUtf8 && encoding !== undefined && !/^(?:utf-?8|us-ascii)$/i.test(encoding)) {
        throw refuse('its encoding is neither UTF-8 nor UTF-16')
      }
    })
    parser.on('opentagstart', () => {
      this.#attributes = 0
    })
    parser.on('attribute', () => {
      if (++this.#attributes > xmlLimits.attributes) throw tooLarge()
    })
    parser.on('opentag', (tag) => this.#opened(tag))
    parser.on('text', (part) => void this.#open.at(-1)?.children.push(part))
    parser.on('cdata', (part) => void this.#open.at(-1)?.children.push(part))
    parser.on('closetag', () => void this.#open.pop())
    parser.write(text).close()
  }

  #opened({ uri, local, prefix, attributes }: SaxesTagNS): void {
    if (++this.#elements > xmlLimits.elements || this.#open.length >= xmlLimits.depth) throw tooLarge()
    const own: XmlAttribute[] = []
    const declared: [string, string][] = []
    for (const attribute of Object.values(attributes)) {
      if (attribute.prefix === 'xmlns') declared.push([attribute.local, attribute.value])
      else if (attribute.prefix === '' && attribute.local === 'xmlns') declared.push(['', attribute.value])
      else own.push(attribute)
    }
    const above = this.#open.at(-1)
    const lang = own.find(({ name }) => name === 'xml:lang')?.value ?? above?.element.lang
    const scoped = [...declared.map(([, value]) => value), lang ?? '']
    if (scoped.some(({ length }) => length > xmlLimits.scoped)) throw tooLarge()
    const children: (XmlElement | string)[] = []
    const element = { uri, local, prefix, attributes: own, declared, lang, children }
    if (above) above.children.push(element)
    else this.root = element
    this.#open.push({ element, children })
  }
}

function decode(bytes: Uint8Array): { readonly text: string; readonly isUtf8: boolean } {
  const encoding = encodingOf(bytes)
  try {
    return { text: new TextDecoder(encoding, { fatal: true }).decode(bytes), isUtf8: encoding === 'utf-8' }
  } catch {
    throw refuse('it is neither UTF-8 nor UTF-16')
  }
}

/** By the byte order mark, or by how a document must begin (XML 1.0, appendix F). */
function encodingOf([first, second]: Uint8Array): 'utf-8' | 'utf-16le' | 'utf-16be' {
  if ((first === 0xfe && second === 0xff) || (first === 0 && second === 0x3c)) return 'utf-16be'
  if ((first === 0xff && second === 0xfe) || (first === 0x3c && second === 0)) return 'utf-16le'
  return 'utf-8'
}

function refuse(why: string): StorageError {
  return new StorageError('invalid', `the XML of the request cannot be read: ${why}`)
}

function tooLarge(): StorageError {
  return new StorageError('too-large', 'the XML of the request has too many, too deep or too long names')
}

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

const special = /[&<>"\u0000-\u001f\ufffe\uffff]/

/** Text for content and quoted attributes. What XML 1.0 cannot hold is shown as U+FFFD. */
export function escapeXml(text: string): string {
  return special.test(text) ? text.replace(/[&<>"\u0000-\u001f\ufffe\uffff]/g, escapeOne) : text
}

function escapeOne(character: string): string {
  switch (character) {
    case '&':
      return '&amp;'
    case '<':
      return '&lt;'
    case '>':
      return '&gt;'
    case '"':
      return '&quot;'
    case '\t':
    case '\n':
    case '\r':
      return `&#${character.charCodeAt(0)};`
    default:
      return '\ufffd'
  }
}
