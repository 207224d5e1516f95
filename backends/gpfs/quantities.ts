/** What commands and management API say in the same words: names, times, settings, and which quota is meant. */

import { StorageError } from '../../gateway/core/errors.ts'
import { brokenAnswer } from './failures.ts'
import type { FileSystemSettings, Fileset, QuotaSubject } from './providers.ts'

export const quotaTypes = { user: 'USR', group: 'GRP', fileset: 'FILESET' } as const

const longestName = 255
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** The name itself. Throws `invalid` for one that would be taken for an option, a pair of names or a list. */
export function checkName(name: string, what: string): string {
  const good = /^[^-\s:,=/][^:,=/]*$/u.test(name) && !/[\0-\x1f\x7f]/.test(name) && name.length <= longestName
  if (!good || !name.isWellFormed()) throw new StorageError('invalid', `this is not the name of ${what}`)
  return name
}

/** An absolute path without a slash at its end; undefined for what none of our paths can be, such as "--". */
export function absolutePath(text: string | undefined): string | undefined {
  if (text === undefined || !text.startsWith('/') || /[\0\ufffd]/.test(text)) return undefined
  const path = text.length > 1 && text.endsWith('/') ? text.slice(0, -1) : text
  return path !== '/' && /\/\.{0,2}(?:\/|$)/.test(path) ? undefined : path
}

/**
 * Junctions as they are on this machine. Scale tells them below its own mount point, which is where its fileset
 * `root` is; a remote cluster may have mounted the file system elsewhere.
 */
export function onThisMachine(filesets: readonly Fileset[], mountPoint: string | undefined): readonly Fileset[] {
  const top = filesets.find(({ name }) => name === 'root')?.junction
  const here = absolutePath(mountPoint)
  if (top === undefined || here === undefined || top === here || top === '/') return filesets
  const isWithin = (path: string) => path === top || path.startsWith(`${top}/`)
  return filesets
    .filter(({ junction }) => isWithin(junction))
    .map((fileset) => ({ ...fileset, junction: rebased(fileset.junction.slice(top.length), here) }))
}

function rebased(rest: string, here: string): string {
  return here === '/' ? rest || '/' : `${here}${rest}`
}

/** The -k setting. Anything unknown is not told. */
export function semanticsOf(text: string | undefined): FileSystemSettings['aclSemantics'] {
  return text === 'nfs4' || text === 'posix' || text === 'all' ? text : undefined
}

/**
 * When a snapshot was made, in ns since 1970. Read as UTC: "Wed Jan 20 00:30:02 2021" of mmlssnapshot, and
 * "2021-01-20 00:30:02" of the API, with dots between the numbers of the time in older releases.
 */
export function snapshotTime(text: string): bigint {
  const [, year, month, day, hour, minute, second] = numericTime.exec(text) ?? rearranged(namedTime.exec(text)) ?? []
  const at = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second))
  if (Number.isNaN(at)) throw brokenAnswer('the time of a snapshot cannot be read')
  return BigInt(at) * 1_000_000n
}

const numericTime = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d)[.:](\d\d)[.:](\d\d)/
const namedTime = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})$/

function rearranged(found: RegExpExecArray | null): string[] | undefined {
  if (!found) return undefined
  const [whole, month = '', day = '', hour = '', minute = '', second = '', year = ''] = found
  const number = months.indexOf(month) + 1
  return number === 0 ? undefined : [whole, year, String(number), day, hour, minute, second]
}

/**
 * The quota that speaks about the subject: where quotas are kept for each fileset, that of the fileset asked for, or
 * of the root fileset. Undefined where none or several could be meant.
 */
export function chosenQuota<T>(
  found: readonly T[],
  subject: QuotaSubject,
  filesetOf: (each: T) => string,
): T | undefined {
  if (subject.type === 'fileset') return found.length === 1 ? found[0] : undefined
  const wanted = subject.fileset === undefined ? ['', 'root'] : [subject.fileset]
  const ours = found.filter((each) => wanted.includes(filesetOf(each)))
  if (ours.length === 1) return ours[0]
  return ours.length === 0 && found.length === 1 && subject.fileset === undefined ? found[0] : undefined
}
