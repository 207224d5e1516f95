/**
 * XML of requests and answers. Bodies come from outside: no document types, no entities but XML's own five, bounded
 * bytes, depth, elements and attributes, and namespaces as they must be (Namespaces in XML 1.0).
 */

import { SaxesParser, type SaxesTagNS } from 'saxes'
import { StorageError } from '../core/errors.ts'

/** Of one document. */
export interface XmlLimits {
  readonly bytes: number
  readonly depth: number
  readonly elements: number
  /** Of one element. */
  readonly attributes: number
  /** Characters of what elements below share and an answer repeats for each: a namespace, a language. */
  readonly scoped: number
}

/** What does for nearly all. */
export const xmlLimits: XmlLimits = { bytes: 1024 * 1024, depth: 64, elements: 10_000, attributes: 64, scoped: 1000 }

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
export function parseXml(bytes: Uint8Array, limits: XmlLimits = xmlLimits): XmlElement {
  if (bytes.length > limits.bytes) throw new StorageError('too-large', 'the XML is too long')
  const builder = new Builder(limits)
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
  readonly #limits: XmlLimits
  readonly #parser = new SaxesParser({ xmlns: true, position: false })
  readonly #open: { element: XmlElement; children: (XmlElement | string)[] }[] = []
  #elements = 0
  #attributes = 0
  root: XmlElement | undefined

  constructor(limits: XmlLimits) {
    this.#limits = limits
  }

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
      if (++this.#attributes > this.#limits.attributes) throw tooLarge()
    })
    parser.on('opentag', (tag) => this.#opened(tag))
    parser.on('text', (part) => void this.#open.at(-1)?.children.push(part))
    parser.on('cdata', (part) => void this.#open.at(-1)?.children.push(part))
    parser.on('closetag', () => void this.#open.pop())
    parser.write(text).close()
  }

  #opened({ uri, local, prefix, attributes }: SaxesTagNS): void {
    if (++this.#elements > this.#limits.elements || this.#open.length >= this.#limits.depth) throw tooLarge()
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
    if (scoped.some(({ length }) => length > this.#limits.scoped)) throw tooLarge()
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
