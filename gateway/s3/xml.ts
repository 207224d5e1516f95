/** XML bodies of S3: read with bounds, written with escapes. */

import { StorageError } from '../core/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { respond } from '../http/respond.ts'
import { encodePath } from '../http/target.ts'
import { elementsIn, escapeXml, parseXml, type XmlElement, type XmlLimits, xmlLimits } from '../http/xml.ts'
import { S3Error } from './error.ts'
import type { S3Body } from './s3-request.ts'

export type { XmlElement } from '../http/xml.ts'

export const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'
export const xmlType = 'application/xml'
export const xmlHead = '<?xml version="1.0" encoding="UTF-8"?>\n'

/** An element around XML. */
export function tag(name: string, content: string): string {
  return content === '' ? `<${name}/>` : `<${name}>${content}</${name}>`
}

/** An element around text; nothing for undefined. */
export function leaf(name: string, value: string | number | boolean | undefined): string {
  return value === undefined ? '' : tag(name, escapeXml(String(value)))
}

/** A whole document; `content` is XML. */
export function xmlDocument(root: string, content: string): string {
  return `${xmlHead}<${root} xmlns="${namespace}">${content}</${root}>`
}

/** Answers with a document whose root has S3's namespace. */
export function sendXml(
  x: Exchange,
  root: string,
  content: string,
  { status = 200, headers = [] }: { readonly status?: number; readonly headers?: readonly string[] } = {},
): Promise<void> {
  return respond(x, status, ['Content-Type', xmlType, ...headers], xmlDocument(root, content))
}

/** `encoding-type=url`: all but unreserved characters and slashes, in UTF-8. */
export function urlEncoded(text: string): string {
  return encodePath(text)
}

/**
 * The root element of a request's XML, in S3's namespace or in none. Throws MalformedXML for all that is not that,
 * MaxMessageLengthExceeded past the limit of bytes.
 */
export async function readXml(
  body: S3Body,
  root: string,
  limits: Partial<Pick<XmlLimits, 'bytes' | 'elements'>> = {},
): Promise<XmlElement> {
  const all = { ...xmlLimits, ...limits }
  return parseRoot(await body.whole(all.bytes), root, all)
}

/** As `readXml`, of bytes that are there. */
export function parseRoot(bytes: Uint8Array, root: string, limits: XmlLimits = xmlLimits): XmlElement {
  if (bytes.length === 0) throw new S3Error('MissingRequestBodyError', 'Request body is empty.')
  const element = parsed(bytes, limits)
  if (element.local !== root || !isOurs(element)) throw malformed(`the root element is not ${root}`)
  return element
}

function parsed(bytes: Uint8Array, limits: XmlLimits): XmlElement {
  try {
    return parseXml(bytes, limits)
  } catch (error) {
    if (error instanceof StorageError) throw malformed(error.message)
    throw error
  }
}

/** Elements of this name directly in `element`. */
export function childrenOf(element: XmlElement, name: string): readonly XmlElement[] {
  return elementsIn(element).filter((child) => child.local === name && isOurs(child))
}

/** The one element of this name; undefined if there is none. Throws MalformedXML for several. */
export function childOf(element: XmlElement, name: string): XmlElement | undefined {
  const [child, ...others] = childrenOf(element, name)
  if (others.length > 0) throw malformed(`there is more than one ${name}`)
  return child
}

/** The text of the one element of this name, exactly as it is there: keys may begin and end in spaces. */
export function textIn(element: XmlElement, name: string): string | undefined {
  const child = childOf(element, name)
  if (!child) return undefined
  if (elementsIn(child).length > 0) throw malformed(`${name} holds elements`)
  return child.children.join('')
}

/** A MalformedXML error. */
export function malformed(why: string): S3Error {
  return new S3Error('MalformedXML', `The XML you provided was not well-formed or did not validate: ${why}.`)
}

/** Clients send S3's namespace (also an older one), or none. */
function isOurs({ uri }: XmlElement): boolean {
  return uri === '' || uri.startsWith('http://s3.amazonaws.com/doc/') || uri.startsWith('https://s3.amazonaws.com/doc/')
}
