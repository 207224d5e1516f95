/** Objects and common prefixes in the XML of listings (Amazon S3 API Reference, "Object", "ObjectVersion"). */

import type { WalkedItem } from '../core/walking.ts'
import { isoDate } from '../http/dates.ts'
import { escapeXml } from '../http/xml.ts'
import { etagOf } from './etags.ts'
import { ownerElement } from './owner.ts'
import { decodeRecord, type ObjectRecord } from './record.ts'
import { type RestoreStatus, storageClassOf } from './restore-status.ts'
import { leaf, tag, urlEncoded } from './xml.ts'

export type ListedObject = Extract<WalkedItem, { readonly key: string }>

/** How a listing shows what is in it. */
export interface ListStyle {
  /** `encoding-type=url`. */
  readonly encoded: boolean
  readonly owner: boolean
  /** Each object is the one version of itself. */
  readonly versions: boolean
}

/** Characters that XML 1.0 has no way to write: keys that hold them are told only to whoever takes them encoded. */
const unwritable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/

export function isWritable(key: string, { encoded }: Pick<ListStyle, 'encoded'>): boolean {
  return encoded || !unwritable.test(key)
}

/** A key, prefix, delimiter or marker. */
export function shown(text: string, { encoded }: Pick<ListStyle, 'encoded'>): string {
  return encoded && !plain.test(text) ? urlEncoded(text) : text
}

/** Nothing in it would be encoded. */
const plain = /^[\w.~/-]*$/

/** Contents, or Version. */
export function objectElement(object: ListedObject, status: RestoreStatus | undefined, style: ListStyle): string {
  const { key, entry, kept } = object
  const record = decodeRecord(kept?.record)
  const name = style.versions ? 'Version' : 'Contents'
  const version = style.versions ? '<VersionId>null</VersionId><IsLatest>true</IsLatest>' : ''
  // There may be a thousand of them in an answer, so only what may need it is escaped.
  return (
    `<${name}><Key>${style.encoded ? shown(key, style) : escapeXml(key)}</Key>${version}<LastModified>${secondOf(entry.modified)}</LastModified>` +
    `<ETag>&quot;${escapeXml(etagOf(entry, record))}&quot;</ETag>${checksumElements(record)}<Size>${entry.size}</Size>` +
    `<StorageClass>${storageClassOf(entry, status) ?? 'STANDARD'}</StorageClass>` +
    `${style.owner ? owner : ''}${status ? restoreElement(status) : ''}</${name}>`
  )
}

const owner = ownerElement('Owner')

export function prefixElement(prefix: string, style: ListStyle): string {
  return tag('CommonPrefixes', leaf('Prefix', shown(prefix, style)))
}

function checksumElements(record: ObjectRecord | undefined): string {
  const sum = record?.checksum
  return sum ? leaf('ChecksumAlgorithm', sum.algorithm) + leaf('ChecksumType', sum.type) : ''
}

function restoreElement({ ongoing, expires }: RestoreStatus): string {
  const until = expires === undefined ? undefined : isoDate(BigInt(Math.floor(expires)) * 1_000_000n)
  return tag('RestoreStatus', leaf('IsRestoreInProgress', ongoing) + leaf('RestoreExpiryDate', until))
}

const second = 1_000_000_000n
/** Files that come together are often of one second. */
let last: { readonly seconds: bigint; readonly text: string } | undefined

/** The time that Last-Modified tells, which has no fractions. */
function secondOf(ns: bigint): string {
  const seconds = ns / second - (ns < 0n && ns % second !== 0n ? 1n : 0n)
  if (last?.seconds !== seconds) last = { seconds, text: isoDate(seconds * second) }
  return last.text
}
