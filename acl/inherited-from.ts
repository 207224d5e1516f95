/** Where an inherited entry came from. Pure: whose ACL may be looked at is for the caller to say. */

import type { Entry } from '../backends/backend.ts'
import { type Ace, aceFlag, right } from './acl.ts'
import { whoName } from './who.ts'

const { fileInherit, directoryInherit, identifierGroup, inherited } = aceFlag

/**
 * The index in `above` of the directory that has the entry as its own, where the flag INHERITED_ACE says that it was
 * handed down (RFC 8881, section 6.2.1.4). `above` are the directories above the object, the nearest last. Undefined
 * where the entry is the object's own, where a directory in between does not have it (any more), and where one of them
 * may not be looked at.
 */
export function inheritedFrom(
  ace: Ace,
  of: Entry,
  above: readonly Entry[],
  mayLook: (directory: Entry, index: number) => boolean,
): number | undefined {
  let looked = ace
  let isFile = of.type !== 'directory'
  for (let index = above.length - 1; index >= 0 && isInherited(looked); index--) {
    const directory = above[index]
    if (directory?.acl === undefined || !mayLook(directory, index)) return undefined
    const heir = looked
    const forFile = isFile
    const sources = directory.acl.aces.filter((each) => handsDown(each, heir, forFile))
    const source = sources.find((each) => !isInherited(each)) ?? sources[0]
    if (source === undefined) return undefined
    if (!isInherited(source)) return index
    looked = source
    isFile = false
  }
  return undefined
}

/** Whether the flag says that the entry came from above. */
export function isInherited({ flags }: Ace): boolean {
  return (flags & inherited) !== 0
}

function handsDown(source: Ace, heir: Ace, toFile: boolean): boolean {
  if ((source.flags & (toFile ? fileInherit : directoryInherit | fileInherit)) === 0 || source.type !== heir.type) {
    return false
  }
  // DELETE_CHILD means nothing on a file and may have been left out.
  const mask = toFile ? ~right.deleteChild : ~0
  const isSameWho = whoName(source.who) === whoName(heir.who) && ((source.flags ^ heir.flags) & identifierGroup) === 0
  return isSameWho && ((source.mask ^ heir.mask) & mask) === 0
}
