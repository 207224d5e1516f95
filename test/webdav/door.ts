/** WebDAV requests at a door over the memory back end, and what their answers say. */

import type { Test } from 'tap'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { type Answer, ask, openDoor, type Setting, type SettingOptions } from '../http/door.ts'

export interface Dav extends Setting {
  /** As alice, unless `headers` or `as` say otherwise. */
  dav(method: string, path: string, options?: DavOptions): Promise<Answer>
}

interface DavOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly as?: string
}

export async function openDav(t: Test, options: SettingOptions = {}): Promise<Dav> {
  const setting = await openDoor(t, options)
  const dav = (method: string, path: string, { as = 'alice', ...more }: DavOptions = {}) =>
    ask(setting.port, method, path, { as, ...more })
  return { ...setting, dav }
}

/** The storage with some operations in the place of its own. */
export function instead(storage: Storage, changes: Partial<StorageOperations>): StorageOperations {
  return new Proxy<StorageOperations>(storage, {
    get(target, key) {
      const value: unknown = Reflect.get(Object.hasOwn(changes, key) ? changes : target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** A propfind for these elements of DAV:, or for whatever XML is given. */
export function propfindFor(...properties: readonly string[]): string {
  const elements = properties.map((property) => (property.startsWith('<') ? property : `<D:${property}/>`))
  return `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop>${elements.join('')}</D:prop></D:propfind>`
}

/** What a multistatus says of each resource: elements by status. */
export function responsesOf({ text }: Pick<Answer, 'text'>): ReadonlyMap<string, ReadonlyMap<number, string>> {
  const found = new Map<string, ReadonlyMap<number, string>>()
  for (const [, href = '', content = ''] of text.matchAll(/<D:response><D:href>(.*?)<\/D:href>(.*?)<\/D:response>/gs)) {
    const stats = [...content.matchAll(/<D:propstat><D:prop>(.*?)<\/D:prop><D:status>HTTP\/1.1 (\d+)/gs)]
    const alone = /^<D:status>HTTP\/1.1 (\d+)/.exec(content)
    const told = stats.map(([, elements = '', status]) => [Number(status), elements] as const)
    found.set(href, new Map(alone ? [[Number(alone[1]), '']] : told))
  }
  return found
}
