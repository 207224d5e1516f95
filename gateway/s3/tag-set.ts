/** Sets of tags (Amazon S3 User Guide, "Categorizing your objects using tags"). */

import { S3Error } from './error.ts'
import { maxTags, type Tag } from './record.ts'
import { childOf, childrenOf, leaf, malformed, tag, textIn, type XmlElement } from './xml.ts'

/** Characters. */
const maxKey = 128
const maxValue = 256
const allowed = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u

/** The header x-amz-tagging: like a query. None for undefined. Throws InvalidArgument, InvalidTag and BadRequest. */
export function parseTagging(header: string | undefined): readonly Tag[] {
  if (header === undefined || header === '') return []
  const tags = header.split('&').map((part): Tag => {
    const equals = part.indexOf('=')
    return equals < 0 ? [decode(part), ''] : [decode(part.slice(0, equals)), decode(part.slice(equals + 1))]
  })
  return checkTags(tags)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    const why = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters"
    throw new S3Error('InvalidArgument', why, { elements: { ArgumentName: 'x-amz-tagging' } })
  }
}

/** The element Tagging. Throws MalformedXML, InvalidTag and BadRequest. */
export function tagsIn(tagging: XmlElement): readonly Tag[] {
  const set = childOf(tagging, 'TagSet')
  if (!set) throw malformed('there is no TagSet')
  const tags = childrenOf(set, 'Tag').map((element): Tag => {
    const key = textIn(element, 'Key')
    const value = textIn(element, 'Value')
    if (key === undefined || value === undefined) throw malformed('a Tag has a Key and a Value')
    return [key, value]
  })
  return checkTags(tags)
}

/** The element TagSet. */
export function tagSet(tags: readonly Tag[]): string {
  return tag('TagSet', tags.map(([key, value]) => tag('Tag', leaf('Key', key) + leaf('Value', value))).join(''))
}

function checkTags(tags: readonly Tag[]): readonly Tag[] {
  if (tags.length > maxTags) throw new S3Error('BadRequest', `Object tags cannot be greater than ${maxTags}`)
  const keys = new Set<string>()
  for (const [key, value] of tags) {
    if (key === '' || key.length > maxKey || !allowed.test(key) || key.startsWith('aws:')) {
      throw bad('The TagKey you have provided is invalid', key)
    }
    if (value.length > maxValue || !allowed.test(value)) throw bad('The TagValue you have provided is invalid', key)
    if (keys.has(key)) throw bad('Cannot provide multiple Tags with the same key', key)
    keys.add(key)
  }
  return tags
}

function bad(text: string, key: string): S3Error {
  return new S3Error('InvalidTag', text, { elements: { TagKey: key.slice(0, maxKey) } })
}
