/** What there is to know about a directory besides its entries, for the person who looks at it. */

import { type Rights, right } from '../../../acl/acl.ts'
import type { Usage } from '../../../backends/backend.ts'
import type { Call } from '../../core/call.ts'
import { StorageError } from '../../core/errors.ts'
import type { MountView } from '../../core/mounts.ts'
import { isWithin, namesOf } from '../../core/path.ts'
import type { Exchange } from '../../http/exchange.ts'
import { counted, readableSize, rightsSentence } from '../../web/words.ts'

export interface Surroundings {
  /** The part of the namespace that it is in. */
  readonly mount: MountView | undefined
  /** Undefined: could not be told in time. */
  readonly rights: Rights | 'unknown' | undefined
  readonly usage: Usage | undefined
  /** Names in it that are other parts of the namespace, or lead there: these stay. */
  readonly mounted: ReadonlySet<string>
}

/** Milliseconds that the page waits for what is only good to know. */
const patience = 1000

/** What cannot be told, or not soon, is left out: the page is for its entries. */
export async function surroundingsOf(x: Exchange): Promise<Surroundings> {
  const { storage } = x.door
  const mounts = storage.mounts(x.call)
  const mount = mounts.findLast(({ path }) => isWithin(x.path, path))
  const inside = mounts.filter(({ path }) => path !== x.path && isWithin(path, x.path))
  const depth = namesOf(x.path).length
  const mounted = new Set(inside.map(({ path }) => namesOf(path)[depth] ?? ''))
  const call: Call = { ...x.call, signal: AbortSignal.any([x.call.signal, AbortSignal.timeout(patience)]) }
  const [held, usage] = await Promise.all([
    ifTold(() => storage.rights(call, x.path)),
    mount && ifTold(() => storage.usage(call, x.path)),
  ])
  return { mount, rights: held && reachable(x, held.rights), usage, mounted }
}

async function ifTold<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof StorageError) return undefined
    throw error
  }
}

/** The cookie of a share link opens what can be looked at, and no form. */
export function canPost({ principal, request }: Exchange): boolean {
  return principal.macaroon === undefined || request.headers.authorization !== undefined
}

/** What is left of rights where there are no forms: pages tell what can be done with them. */
export function reachable(x: Exchange, rights: Rights | 'unknown'): Rights | 'unknown' {
  return rights === 'unknown' || canPost(x) ? rights : rights & right.readData
}

/** Whether the caller could make something here, as far as that is known. */
export function mayHere({ mount, rights }: Surroundings, needed: Rights): boolean {
  if (mount === undefined || mount.readOnly || rights === undefined) return false
  return rights === 'unknown' || (rights & needed) === needed
}

export const addFile = right.addFile
export const addFolder = right.addSubdirectory

/** Sentences for the top of the page. `hasUnknown`: the table is silent about what may be done with some entries. */
export function sentencesOf({ mount, rights, usage }: Surroundings, hasUnknown: boolean): string[] {
  const sentences: string[] = []
  if (mount?.readOnly) sentences.push('This part of the namespace is read-only.')
  if (rights !== undefined) sentences.push(rightsSentence(rights))
  if (hasUnknown && rights !== 'unknown') sentences.push(unknownSentence)
  if (usage) sentences.push(spaceSentence(usage))
  return sentences
}

const unknownSentence = 'Where the table does not tell what you may do, the storage itself decides, each time you try.'

function spaceSentence({ used, available, limit, files }: Usage): string {
  const parts = [`${readableSize(used)}${limit === undefined ? '' : ` of ${readableSize(limit)}`} used`]
  if (available !== undefined) parts.push(`${readableSize(available)} free`)
  if (files) parts.push(filesWords(files))
  return `Space: ${parts.join(', ')}.`
}

function filesWords({ used, limit }: NonNullable<Usage['files']>): string {
  return limit === undefined ? counted(used, 'file') : `${used} of ${counted(limit, 'file')}`
}
