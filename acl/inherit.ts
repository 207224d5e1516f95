/** What a new object gets from the directory it is made in (RFC 8881, sections 6.2.1.4.1 and 6.4.3). */

import { type Ace, type Acl, aceFlag, right } from './acl.ts'
import type { ObjectKind } from './dialects.ts'
import { aclFromMode, withMode } from './mode.ts'
import { makeAce } from './who.ts'

export interface InheritOptions {
  /** Mark what is inherited with INHERITED_ACE: for a dacl and for GPFS, never for the plain `acl` attribute. */
  readonly mark?: boolean
  /**
   * A directory's entry that is both effective and heritable becomes two: `rfc8881` keeps an effective
   * one without inheritance and an inherit-only one; `gpfs` one for directories and one for files.
   */
  readonly split?: 'rfc8881' | 'gpfs'
}

/** Entries a new object inherits, in the parent's order. Empty when nothing is heritable for that kind. */
export function inherit(aces: readonly Ace[], kind: ObjectKind, options: InheritOptions = {}): Ace[] {
  const result: Ace[] = []
  for (const ace of aces) {
    if (kind === 'file') pushForFile(result, ace, options)
    else pushForDirectory(result, ace, options)
  }
  return result
}

/** What is made, and by whom. */
export interface NewObject {
  readonly kind: ObjectKind
  readonly owner: string | undefined
  readonly group: string | undefined
  /** Mode the creator asked for: applied over what was inherited (RFC 8881, section 6.4.3). */
  readonly mode?: number
  /** Mode where nothing is heritable and none was asked for. */
  readonly defaultMode: number
}

/**
 * The ACL of a new object in a directory with the ACL `parent`, in the same dialect. Where the parent
 * takes part in automatic inheritance (`flags` present) or is GPFS's, what is inherited is marked so.
 */
export function aclOfNew(parent: Acl, made: NewObject): Acl {
  const { dialect } = parent
  const aces = inherit(parent.aces, made.kind, {
    mark: parent.flags !== undefined || dialect === 'gpfs',
    ...(dialect === 'gpfs' && { split: 'gpfs' }),
  })
  const speaks = aces.some((ace) => ace.type === 'allow' || ace.type === 'deny')
  if (!speaks) {
    const plain = aclFromMode(made.mode ?? made.defaultMode, made.kind, { ...made, dialect })
    const audits = aces.length === 0 ? plain.aces : [...plain.aces, ...aces]
    return { ...plain, aces: audits, ...flagsOf(parent, daclDefaulted) }
  }
  const acl: Acl = { owner: made.owner, group: made.group, aces, dialect, ...flagsOf(parent, 0) }
  return made.mode === undefined ? acl : withMode(acl, made.mode, made.kind)
}

const daclAutoInherit = 1
const daclDefaulted = 4

/** AUTO_INHERIT is copied from the parent, PROTECTED is clear (RFC 8881, section 6.4.3.2). */
function flagsOf(parent: Acl, more: number): { flags?: number } {
  return parent.flags === undefined ? {} : { flags: (parent.flags & daclAutoInherit) | more }
}

const { fileInherit, directoryInherit, noPropagateInherit, inheritOnly, inherited } = aceFlag
const inheritance = fileInherit | directoryInherit | noPropagateInherit | inheritOnly

function pushForFile(into: Ace[], ace: Ace, { mark }: InheritOptions): void {
  if ((ace.flags & fileInherit) === 0) return
  const mask = ace.mask & ~right.deleteChild
  if (mask !== 0) into.push(makeAce(ace.type, baseFlags(ace, mark), mask, ace.who))
}

function pushForDirectory(into: Ace[], ace: Ace, { mark, split }: InheritOptions): void {
  const heritable = ace.flags & (fileInherit | directoryInherit)
  const base = baseFlags(ace, mark)
  const push = (flags: number) => into.push(makeAce(ace.type, base | flags, ace.mask, ace.who))
  const isForDirectories = (heritable & directoryInherit) !== 0
  if ((ace.flags & noPropagateInherit) !== 0) {
    // One level only: a directory is the end of it, and an entry for files alone says nothing about it.
    if (isForDirectories) push(0)
  } else if (!isForDirectories) {
    // It must stay without effect on the directory itself.
    if (heritable !== 0) push(fileInherit | inheritOnly)
  } else if (split === 'rfc8881') {
    push(0)
    push(heritable | inheritOnly)
  } else if (split === 'gpfs' && (heritable & fileInherit) !== 0) {
    push(directoryInherit)
    push(fileInherit | inheritOnly)
  } else {
    push(heritable)
  }
}

/** Everything but inheritance, which each case gives anew; INHERITED_ACE only where it is asked for. */
function baseFlags(ace: Ace, mark: boolean | undefined): number {
  const rest = ace.flags & ~(inheritance | inherited)
  return mark ? rest | inherited : rest
}
