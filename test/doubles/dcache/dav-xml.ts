/** The XML of PROPFIND and PROPPATCH (RFC 4918), as far as the door needs it. */

import { SaxesParser } from 'saxes'
import { Failure } from './failure.ts'

export interface PropertyName {
  readonly namespace: string
  readonly name: string
}

export interface PropertyChange extends PropertyName {
  /** Undefined removes. */
  readonly value: string | undefined
}

/** Names asked for; undefined for allprop or an empty body. */
export function parseFind(text: string): readonly PropertyName[] | undefined {
  if (text.trim() === '') return undefined
  const names: PropertyName[] = []
  let asked = false
  walk(text, ({ path, namespace, name }) => {
    if (path === 'propfind/prop') asked = true
    if (path.startsWith('propfind/prop/')) names.push({ namespace, name })
  })
  return asked ? names : undefined
}

export function parseChanges(text: string): readonly PropertyChange[] {
  const changes: PropertyChange[] = []
  walk(text, ({ path, namespace, name, value }) => {
    if (/^propertyupdate\/set\/prop\/[^/]+$/.test(path)) changes.push({ namespace, name, value })
    if (/^propertyupdate\/remove\/prop\/[^/]+$/.test(path)) changes.push({ namespace, name, value: undefined })
  })
  return changes
}

interface Element extends PropertyName {
  /** Local names from the root. */
  readonly path: string
  readonly value: string
}

/** Calls `visit` at the end of each element. */
function walk(text: string, visit: (element: Element) => void): void {
  const parser = new SaxesParser({ xmlns: true })
  const open: { readonly name: string; readonly namespace: string; text: string }[] = []
  parser.on('opentag', ({ local, uri }) => {
    open.push({ name: local, namespace: uri, text: '' })
  })
  parser.on('text', (piece) => {
    const top = open.at(-1)
    if (top) top.text += piece
  })
  parser.on('closetag', () => {
    const path = open.map(({ name }) => name).join('/')
    const { name, namespace, text: value } = open.pop() ?? { name: '', namespace: '', text: '' }
    visit({ path, name, namespace, value })
  })
  parser.on('error', (error) => {
    throw new Failure('bad-request', error.message.split('\n')[0] ?? '')
  })
  parser.write(text).close()
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`)
}

/** One property of an answer; `xml` is its content. */
export interface PropertyResult extends PropertyName {
  readonly status: number
  readonly xml: string
}

export interface ResourceResult {
  readonly href: string
  readonly properties: readonly PropertyResult[]
}

const reasons: Readonly<Record<number, string>> = { 200: 'OK', 403: 'Forbidden', 404: 'Not Found' }

export function multistatus(resources: readonly ResourceResult[]): string {
  const parts = resources.map(({ href, properties }) => {
    const statuses = [...new Set(properties.map(({ status }) => status))]
    const stats = statuses.map((status) => {
      const xml = properties.filter((property) => property.status === status).map(element)
      return `<d:propstat><d:prop>${xml.join('')}</d:prop><d:status>HTTP/1.1 ${status} ${reasons[status]}</d:status></d:propstat>`
    })
    return `<d:response><d:href>${escapeXml(href)}</d:href>${stats.join('')}</d:response>`
  })
  return `<?xml version="1.0" encoding="utf-8" ?>\n<d:multistatus xmlns:d="DAV:">${parts.join('\n')}</d:multistatus>\n`
}

function element({ namespace, name, xml }: PropertyResult): string {
  const tag = namespace === 'DAV:' ? `d:${name}` : `ns1:${name}`
  const declaration = namespace === 'DAV:' ? '' : ` xmlns:ns1="${escapeXml(namespace)}"`
  return xml === '' ? `<${tag}${declaration}/>` : `<${tag}${declaration}>${xml}</${tag}>`
}
