/** What there is to know about a directory besides its entries, for the person who looks at it. */

import { type Rights, right } from '../../../acl/acl.ts'
import type { Usage } from '../../../backends/backend.ts'
import type { Call } from '../../core/call.ts'
import { StorageError } from '../../core/errors.ts'
import type { MountView } from '../../core/mounts.ts'
import { isWithin } from '../../core/path.ts'
import type { Exchange } from '../../http/exchange.ts'
import { counted, readableSize, rightsSentence } from '../../web/words.ts'

export interface Surroundings {
  /** The part of the namespace that it is in. */
  readonly mount: MountView | undefined
  /** Undefined: could not be told in time. */
  readonly rights: Rights | 'unknown' | undefined
  readonly usage: Usage | undefined
}

/** Milliseconds that the page waits for what is only good to know. */
const patience = 1000

/** What cannot be told, or not soon, is left out: the page is for its entries. */
export async function surroundingsOf(x: Exchange): Promise<Surroundings> {
  const { storage } = x.door
  const mount = storage.mounts(x.call).findLast(({ path }) => isWithin(x.path, path))
  const call: Call = { ...x.call, signal: AbortSignal.any([x.call.signal, AbortSignal.timeout(patience)]) }
  const [held, usage] = await Promise.all([
    ifTold(() => storage.rights(call, x.path)),
    mount && ifTold(() => storage.usage(call, x.path)),
  ])
  return { mount, rights: held?.rights, usage }
}

async function ifTold<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof StorageError) return undefined
    throw error
  }
}

/** Whether the caller could make something here, as far as that is known. */
export function mayHere({ mount, rights }: Surroundings, needed: Rights): boolean {
  if (mount === undefined || mount.readOnly || rights === undefined) return false
  return rights === 'unknown' || (rights & needed) === needed
}

export const addFile = right.addFile
export const addFolder = right.addSubdirectory

/** Sentences for the top of the page. */
export function sentencesOf({ mount, rights, usage }: Surroundings): string[] {
  const sentences: string[] = []
  if (mount?.readOnly) sentences.push('This part of the namespace is read-only.')
  if (rights !== undefined) sentences.push(rightsSentence(rights))
  if (usage) sentences.push(spaceSentence(usage))
  return sentences
}

function spaceSentence({ used, available, limit, files }: Usage): string {
  const parts = [`${readableSize(used)}${limit === undefined ? '' : ` of ${readableSize(limit)}`} used`]
  if (available !== undefined) parts.push(`${readableSize(available)} free`)
  if (files) parts.push(`${counted(files.used, 'file')}${files.limit === undefined ? '' : ` of ${files.limit}`}`)
  return `Space: ${parts.join(', ')}.`
}
