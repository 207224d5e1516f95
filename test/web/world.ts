/** What the tests of this folder share: pages as a browser gets them, and forms as it sends them. */

import { parsePath } from '../../gateway/core/path.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { type Answer, alice, ask, callOf, type Setting, store } from '../http/door.ts'
import { barriersOf, type Element, elementsOf } from './html.ts'

export const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

export interface Page extends Answer {
  readonly elements: readonly Element[]
  /** What is wrong with it for who cannot see it. */
  readonly barriers: readonly string[]
}

export async function pageOf(port: number, path: string, as = ''): Promise<Page> {
  return asPage(await ask(port, 'GET', path, { headers: { accept }, ...(as && { as }) }))
}

export function asPage(answer: Answer): Page {
  const elements = elementsOf(answer.text)
  return { ...answer, elements, barriers: barriersOf(elements) }
}

/** Texts of the cells of a table, row by row, without its head. */
export function rowsOf({ elements }: Page): string[][] {
  const rows = elements.filter(({ name, parent }) => name === 'tr' && parent?.name === 'tbody')
  return rows.map(({ children }) => children.map(({ text }) => text))
}

export async function tokenFor(port: number, path: string, as = 'alice'): Promise<string> {
  const { text } = await pageOf(port, path, as)
  const token = /name="csrf" value="([^"]+)"/.exec(text)?.[1]
  if (token === undefined) throw new Error('the page has no form')
  return token
}

/** A small form. */
export function post(port: number, path: string, fields: Readonly<Record<string, string>>, as = 'alice') {
  const headers = { accept, 'content-type': 'application/x-www-form-urlencoded' }
  return ask(port, 'POST', path, { headers, body: new URLSearchParams(fields).toString(), ...(as && { as }) })
}

export const boundary = '----WebKitFormBoundaryAAAAAAAAAAAAAAAA'

/** A field, or with `filename` a file, as a browser writes it. */
export function part(name: string, value: string, filename?: string): string {
  const file = filename === undefined ? '' : `; filename="${filename}"\r\nContent-Type: application/octet-stream`
  return `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n${value}\r\n`
}

export const closing = `--${boundary}--\r\n`

/** A form of files, whose body may be anything. */
export function upload(port: number, path: string, body: string, options: UploadOptions = {}): Promise<Answer> {
  const { as = 'alice', headers = {} } = options
  const type = `multipart/form-data; boundary=${boundary}`
  const all = { accept, 'content-type': type, ...headers }
  return ask(port, 'POST', path, { headers: all, body: Buffer.from(body), ...(as && { as }) })
}

export interface UploadOptions {
  readonly as?: string
  readonly headers?: Readonly<Record<string, string>>
}

export async function fill({ storage }: Pick<Setting, 'storage'>, files: Readonly<Record<string, string | null>>) {
  for (const [name, content] of Object.entries(files)) {
    if (content === null) await storage.mkdir(callOf(alice), parsePath(`/data/${name}`))
    else await store(storage, `/data/${name}`, content)
  }
}

/** A storage with some of its operations replaced. */
export function instead(storage: Storage, operations: Partial<StorageOperations>): StorageOperations {
  return new Proxy<StorageOperations>(storage, {
    get: (target, key) => {
      const value: unknown = Reflect.get(operations, key) ?? Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
