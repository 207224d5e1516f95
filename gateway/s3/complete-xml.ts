/** The body of CompleteMultipartUpload: which parts, in which order (Amazon S3 API Reference). */

import { maxParts } from '../core/parts.ts'
import { elementsIn, textOf } from '../http/xml.ts'
import type { ChecksumAlgorithm } from './checksums.ts'
import { S3Error } from './error.ts'
import { algorithmOfElement } from './multipart-checksums.ts'
import { childrenOf, malformed, namespace, parseRoot } from './xml.ts'

/** Bytes of a body: ten thousand parts with the longest checksum take half of it. */
export const maxCompleteXml = 4 * 1024 * 1024

export interface ListedPart {
  readonly number: number
  /** Without quotes. */
  readonly etag: string
  /** In base64, as sent. */
  readonly checksums: Readonly<Partial<Record<ChecksumAlgorithm, string>>>
}

type Field = readonly [name: string, text: string]

const root = 'CompleteMultipartUpload'

/**
 * Strictly ascending, at least one, at most ten thousand. Throws MalformedXML, InvalidArgument for a number that no part
 * can have, and InvalidPartOrder.
 */
export function parseComplete(bytes: Uint8Array): ListedPart[] {
  const found = plainFields(bytes) ?? parsedFields(bytes)
  if (found.length === 0 || found.length > maxParts) throw malformed(`it names 1 to ${maxParts} parts`)
  let before = 0
  return found.map((fields) => {
    const part = partOf(fields)
    if (part.number <= before) {
      throw new S3Error(
        'InvalidPartOrder',
        'The list of parts was not in ascending order. The parts list must be specified in order by part number.',
      )
    }
    before = part.number
    return part
  })
}

function partOf(fields: readonly Field[]): ListedPart {
  let number: number | undefined
  let etag: string | undefined
  const checksums: Partial<Record<ChecksumAlgorithm, string>> = {}
  for (const [name, text] of fields) {
    if (name === 'PartNumber') {
      if (number !== undefined || !/^\d{1,9}$/.test(text)) throw malformed('a part has one PartNumber, a number')
      number = Number(text)
    } else if (name === 'ETag') {
      if (etag !== undefined) throw malformed('a part has one ETag')
      etag = text.replace(/^"(.*)"$/s, '$1')
    } else {
      const algorithm = algorithmOfElement.get(name)
      if (algorithm !== undefined) checksums[algorithm] = text
    }
  }
  if (number === undefined || etag === undefined) throw malformed('a part has a PartNumber and an ETag')
  if (number < 1 || number > maxParts) {
    throw new S3Error('InvalidArgument', `PartNumber must be between 1 and ${maxParts}`, {
      elements: { ArgumentName: 'PartNumber', ArgumentValue: String(number) },
    })
  }
  return { number, etag, checksums }
}

const opening = new RegExp(String.raw`\s*(?:<\?xml [^<>?]*\?>\s*)?<${root}(?: xmlns="${namespace}")?>\s*`, 'y')
const closing = new RegExp(String.raw`</${root}>\s*$`, 'y')
const part = /<Part>\s*((?:<[A-Za-z0-9]+>[^<>]*<\/[A-Za-z0-9]+>\s*){0,20})<\/Part>\s*/y
const field = /<([A-Za-z0-9]+)>([^<>]*)<\/\1>\s*/y

/**
 * The form in which all clients known send it, read without building a tree of forty thousand elements. Undefined for
 * every other form, well-formed or not: the parser says which.
 */
function plainFields(bytes: Uint8Array): Field[][] | undefined {
  if (bytes.length > maxCompleteXml) return undefined
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  // Not ASCII, or references and sections that take a parser.
  if (/[^\t\n\r -~]|&(?!quot;|#34;)|<!/.test(text)) return undefined
  const all: Field[][] = []
  let at = matchAt(opening, text, 0)?.end
  if (at === undefined) return undefined
  for (let found = matchAt(part, text, at); found; found = matchAt(part, text, at)) {
    const fields = fieldsOf(found.groups[1] ?? '')
    if (!fields || all.length === maxParts) return undefined
    all.push(fields)
    at = found.end
  }
  return matchAt(closing, text, at) && all
}

function fieldsOf(inner: string): Field[] | undefined {
  const fields: Field[] = []
  let at = 0
  for (let found = matchAt(field, inner, at); found; found = matchAt(field, inner, at)) {
    const [, name = '', text = ''] = found.groups
    fields.push([name, text.replaceAll(/&(?:quot|#34);/g, '"').trim()])
    at = found.end
  }
  return at === inner.length ? fields : undefined
}

function matchAt(sticky: RegExp, text: string, at: number) {
  sticky.lastIndex = at
  const groups = sticky.exec(text)
  return groups ? { groups, end: sticky.lastIndex } : undefined
}

function parsedFields(bytes: Uint8Array): Field[][] {
  if (bytes.length === 0) throw malformed('there is no body')
  const top = parseRoot(bytes, root, {
    bytes: maxCompleteXml,
    depth: 8,
    elements: maxParts * 10,
    attributes: 8,
    scoped: 100,
  })
  return childrenOf(top, 'Part').map((each) =>
    elementsIn(each).map((element): Field => [element.local, textOf(element)]),
  )
}
