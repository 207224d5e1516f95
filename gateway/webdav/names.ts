/** Namespaces of properties, and the prefixes that our answers use for them. */

import { dav, type XmlName } from './xml.ts'

/** What Portolan says and no other namespace has a word for. */
export const own = 'urn:x-portolan:webdav'
export const apache = 'http://apache.org/dav/props/'
export const owncloud = 'http://owncloud.org/ns'
export const dcache = 'http://www.dcache.org/2013/webdav'
export const srm = 'http://srm.lbl.gov/StorageResourceManager'
export const lcgdm = 'LCGDM:'
export const microsoft = 'urn:schemas-microsoft-com:'

export const prefixes: Readonly<Record<string, string>> = {
  [dav]: 'D',
  [own]: 'p',
  [apache]: 'ap',
  [owncloud]: 'oc',
  [dcache]: 'dc',
  [srm]: 'srm',
  [lcgdm]: 'lcg',
  [microsoft]: 'Z',
}

/** On the root element of every answer. */
export const declarations = Object.entries(prefixes)
  .map(([uri, prefix]) => `xmlns:${prefix}="${uri}"`)
  .join(' ')

/** A key for maps: no name of XML holds a space. */
export function keyOf({ uri, local }: XmlName): string {
  return `${uri} ${local}`
}
