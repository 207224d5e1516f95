/**
 * Answers to PROPFIND (RFC 4918, section 9.1), read as they come. They come from outside: no document types, no
 * entities but XML's own five, bounded depth and sizes, and names are only those of children.
 */

import { SaxesParser, type SaxesTagNS } from 'saxes'
import { nameOf, type Path, parentOf } from '../../gateway/core/path.ts'
import type { Entry } from '../backend.ts'
import { isName, localityOf } from './attributes.ts'
import { unavailable } from './errors.ts'
import { decodePath } from './names.ts'

const dav = 'DAV:'
const dcache = 'http://www.dcache.org/2013/webdav'
const srm = 'http://srm.lbl.gov/StorageResourceManager'

/** Asks by name: allprop would cost the door dearly. */
export const propfindBody =
  '<?xml version="1.0" encoding="utf-8"?>' +
  `<propfind xmlns="${dav}" xmlns:s="${srm}"><prop><getcontentlength/><getetag/><getlastmodified/><resourcetype/>` +
  '<s:FileLocality/></prop></propfind>'

export const checksumsBody =
  '<?xml version="1.0" encoding="utf-8"?>' +
  `<propfind xmlns="${dav}" xmlns:d="${dcache}"><prop><d:Checksums/></prop></propfind>`

/** Deepest nesting, longest text of an element and most bytes of one response. */
const limits = { depth: 16, text: 16 * 1024, response: 256 * 1024 }

/** What one response says. Only properties with status 200 are there. */
export interface Found {
  /** In dCache's terms. */
  readonly path: Path
  readonly isDirectory: boolean
  /** By namespace and local name, as `DAV: getetag`. */
  readonly properties: ReadonlyMap<string, string>
}

/** Feeds bytes, takes responses. */
export class PropfindReader {
  readonly #parser = new SaxesParser({ xmlns: true, position: false })
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })
  readonly #base: URL
  readonly #prefix: string
  readonly #open: string[] = []
  #found: Found[] = []
  #text = ''
  #bytes = 0
  #href = ''
  #status = ''
  #isDirectory = false
  #properties = new Map<string, string>()
  #all = new Map<string, string>()
  #collections = 0

  /** `base`: what was asked. `prefix`: the path of the door's URL, which is no part of the paths in dCache. */
  constructor(base: URL, prefix: string) {
    this.#base = base
    this.#prefix = prefix.replace(/\/$/, '')
    this.#parser.on('doctype', () => refuse('a document type'))
    this.#parser.on('error', () => refuse('no XML'))
    this.#parser.on('opentag', (tag) => this.#opened(tag))
    this.#parser.on('text', (text) => this.#said(text))
    this.#parser.on('cdata', (text) => this.#said(text))
    this.#parser.on('closetag', (tag) => this.#closed(tag))
  }

  /** The responses that these bytes complete. Throws `unavailable`. */
  write(chunk: Uint8Array): readonly Found[] {
    this.#bytes += chunk.length
    // A chunk may hold the ends of many responses; what no end comes for is what must not grow.
    const before = this.#bytes
    this.#parser.write(this.#decode(chunk, true))
    const found = this.#take()
    if (found.length > 0) this.#bytes = Math.min(before, chunk.length)
    if (this.#bytes > limits.response) refuse('a response without an end')
    return found
  }

  /** Throws `unavailable` where the document is not complete. */
  end(): readonly Found[] {
    this.#parser.write(this.#decode(undefined, false))
    this.#parser.close()
    return this.#take()
  }

  #decode(chunk: Uint8Array | undefined, stream: boolean): string {
    try {
      return this.#decoder.decode(chunk, { stream })
    } catch {
      return refuse('no UTF-8')
    }
  }

  #take(): readonly Found[] {
    const found = this.#found
    this.#found = []
    return found
  }

  #opened({ uri, local }: SaxesTagNS): void {
    if (this.#open.length >= limits.depth) refuse('too deep a document')
    this.#open.push(`${uri} ${local}`)
    this.#text = ''
    const depth = this.#open.length
    if (depth === 2) {
      this.#href = ''
      this.#isDirectory = false
      this.#all = new Map()
    } else if (depth === 3) {
      this.#properties = new Map()
      this.#status = ''
      this.#collections = 0
    } else if (uri === dav && local === 'collection' && this.#open.at(-2) === `${dav} resourcetype`) {
      this.#collections++
    }
  }

  #said(text: string): void {
    if (this.#text.length + text.length > limits.text) refuse('too long a value')
    this.#text += text
  }

  #closed({ uri, local }: SaxesTagNS): void {
    const depth = this.#open.length
    const name = this.#open.pop()
    const isDav = uri === dav
    if (depth === 3 && isDav && local === 'href') this.#href = this.#text.trim()
    else if (depth === 4 && isDav && local === 'status') this.#status = this.#text
    else if (depth === 5 && this.#open.at(-1) === `${dav} prop` && name) this.#properties.set(name, this.#text)
    else if (depth === 3 && isDav && local === 'propstat') this.#keep()
    else if (depth === 2 && isDav && local === 'response') this.#respond()
    this.#text = ''
  }

  #keep(): void {
    if (!/^HTTP\/\d(\.\d)? 200( |$)/.test(this.#status.trim())) return
    if (this.#collections > 0) this.#isDirectory = true
    for (const [name, value] of this.#properties) this.#all.set(name, value)
  }

  #respond(): void {
    // Doors behind a proxy may tell another host; what counts is the path.
    const { pathname } = URL.parse(this.#href, this.#base) ?? { pathname: '' }
    if (!pathname.startsWith(`${this.#prefix}/`)) return
    const path = decodePath(pathname.slice(this.#prefix.length))
    if (path) this.#found.push({ path, isDirectory: this.#isDirectory, properties: this.#all })
  }
}

function refuse(what: string): never {
  throw unavailable(`the storage answered with ${what}`)
}

const pathId = 'path:'

/** Whether an id is made from a path, for want of a better one. */
export function isPathId(id: string): boolean {
  return id.startsWith(pathId)
}

/** The entry of a response under a name. dCache's ETag begins with the PNFS-ID; other servers have none that lasts. */
export function entryOfFound({ isDirectory, properties, path }: Found, name: string): Entry {
  const etag = properties.get(`${dav} getetag`) ?? ''
  const size = isDirectory ? 0 : countOf(properties.get(`${dav} getcontentlength`))
  const time = Date.parse(properties.get(`${dav} getlastmodified`) ?? '')
  const modified = Number.isFinite(time) ? BigInt(time) * 1_000_000n : 0n
  const locality = isDirectory ? undefined : localityOf(properties.get(`${srm} FileLocality`)?.trim())
  const id = idOfEtag(etag)
  const plain = Buffer.from(etag || `${modified}`).toString('base64url')
  return {
    name,
    type: isDirectory ? 'directory' : 'file',
    size,
    modified,
    changed: modified,
    version: id === undefined ? `${plain}-${size.toString(16)}` : `${id}-${size.toString(16)}`,
    id: id ?? `${pathId}${path}`,
    ...(locality && { locality }),
  }
}

/** The PNFS-ID in an ETag of dCache, `"ID_number"`. */
export function idOfEtag(etag: string | undefined): string | undefined {
  return /^(?:W\/)?"?([0-9A-F]{24,64})_-?\d+"?$/.exec(etag?.trim() ?? '')?.[1]
}

/** The name, where what was found lies directly in `directory`. */
export function childName({ path }: Found, directory: Path): string | undefined {
  const name = nameOf(path)
  return name !== '' && parentOf(path) === directory && path !== directory && isName(name) ? name : undefined
}

/** Checksums as dCache tells them in a property, in the form of RFC 3230. */
export function checksumsOfFound({ properties }: Found): string | undefined {
  return properties.get(`${dcache} Checksums`)
}

function countOf(text: string | undefined): number {
  const number = text !== undefined && /^\d{1,16}$/.test(text.trim()) ? Number(text) : 0
  return Number.isSafeInteger(number) ? number : 0
}
