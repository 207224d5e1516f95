/**
 * Operations of an I/O thread behind a draft: a file without a name, or with a hidden one, that becomes visible in
 * one step of the kernel and brings its ACL, owner and attributes along.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Changed } from './changing.ts'
import { keepsElsewhere, requireExpected, stale, storeAcl, told } from './changing.ts'
import { unlinkHidden } from './emptying.ts'
import type { HandleRef } from './handles.ts'
import type { Labels } from './kept-text.ts'
import { label, markElsewhere } from './labelling.ts'
import { claim } from './leaving.ts'
import * as sys from './native/sys.ts'
import { becomeNew, hidesAcl, modeForNew, openHidden, openUnnamed, passOn } from './passing-on.ts'
import type { AclBytes, Expected } from './wire.ts'
import { closing, syncDirectory, type Workshop } from './workshop.ts'

export interface StageArgs {
  readonly parent: HandleRef
  /** A reserved name; without one the file gets none. */
  readonly hidden?: string
  readonly size?: number | undefined
  readonly acl?: AclBytes | undefined
  /** A file is to be replaced: as long as the draft has not got that one's mode, its name shows its bytes to nobody else. */
  readonly replaces?: boolean
  /** It is to be left and opened again: nobody else opens it meanwhile, and its name is on disk. */
  readonly lasting?: boolean
}

/** `unnamed`: the file system has no files without a name. */
export type Staged = { readonly fd: number; readonly overflow: string } | { readonly unnamed: 'unsupported' }

export interface PrepareArgs {
  readonly draft: HandleRef
  readonly parent: HandleRef
  readonly name: string
  readonly expected: Expected
  readonly marker: string
  /** Attributes of ours that speak of the old bytes. */
  readonly dropped: string
}

/** `kept`: the draft now has owner, group, mode, ACL and attributes of the file it is to replace. */
export interface Prepared {
  readonly kept: boolean
  /** Id of properties of the old file that are kept elsewhere. */
  readonly overflow?: string
}

export interface PublishArgs {
  readonly draft: HandleRef
  readonly parent: HandleRef
  readonly name: string
  /** What is replaced; undefined makes a new name, which must be free. */
  readonly expected?: Expected | undefined
  /** The hidden name that the draft has, or gets on its way. */
  readonly hidden: string
  readonly named: boolean
  /** As a new name it is to have what a file made now would get, and this ACL. */
  readonly asNew?: { readonly acl: AclBytes | undefined } | undefined
  /** The draft has changed since it was synced. */
  readonly dirty: boolean
  readonly modified?: bigint | undefined
  readonly labels?: Labels | undefined
  /** A new name appears only where the way to it is still this one. */
  readonly seen?: Seen | undefined
}

/** What was decided on. */
export interface Seen {
  readonly path: Path
  /** As `EntryMaker.wayTo` tells it. */
  readonly way: string
}

export type Published =
  | (Changed & {
      /** The hidden name is there beside the new one, for whoever has closed the draft to take away. */
      readonly twoNames?: boolean
    })
  /** `named`: the draft has its hidden name now. Once it has had a name and lost it the kernel gives it no other. */
  | { readonly taken: true; readonly named: boolean }
  /** The way is not the one that was seen. Nothing is visible yet. */
  | { readonly otherWay: true }
  /** There is no room for the labels, which are to be kept elsewhere first, under this version. Nothing is visible yet. */
  | { readonly unlabelled: string }

/** Makes the file that a draft is written to, in the directory it will appear in. */
export function stage(shop: Workshop, { parent, hidden, size, acl, replaces, lasting }: StageArgs): Staged {
  return shop.using(parent, (directory) => {
    if (size !== undefined) requireRoom(directory, size)
    const mode = modeForNew(shop, directory)
    const fd =
      hidden === undefined ? openUnnamed(directory, mode) : openHidden(shop, directory, hidden, replaces ? 0o600 : mode)
    if (fd === undefined) return { unnamed: 'unsupported' }
    shop.step('staged')
    try {
      if (lasting) claim(fd)
      if (acl) storeAcl(shop, fd, acl)
      if (lasting && shop.setup.sync) syncDirectory(directory)
      const stat = sys.fstat(fd)
      return { fd, overflow: shop.maker.id(stat) }
    } catch (error) {
      sys.close(fd)
      if (hidden !== undefined) sys.unlinkat(directory, hidden, 0)
      throw error
    }
  })
}

/** A file whose bytes are all here. */
export interface StageWholeArgs {
  readonly parent: HandleRef
  readonly acl?: AclBytes | undefined
  readonly bytes: Uint8Array
  /** What it gets where it makes a new name; what replaces a file gets them later. */
  readonly labelling?: Pick<LabelArgs, 'modified' | 'labels'> | undefined
  /** It appears at once under this new name, where that is free, the way to it as it was seen, and all labels have room. */
  readonly appear?: { readonly name: string; readonly seen: Seen } | undefined
}

export type StagedWhole = (Staged & { readonly unlabelled?: string | undefined }) | Changed

/** As `stage`, `labelStaged` and, where nothing has to be synced in between, `publish` in one. */
export function stageWhole(shop: Workshop, args: StageWholeArgs): StagedWhole {
  const staged = stageBytes(shop, args)
  if (!('fd' in staged) || !args.appear || staged.unlabelled !== undefined) return staged
  const { name, seen } = args.appear
  const { fd } = staged
  let isOver = true
  try {
    shop.maker.begin(false)
    const isThere =
      isSeen(shop, seen) &&
      shop.using(args.parent, (directory) => appear(shop, fd, directory, { name, hidden: '', named: false }) !== false)
    if (isThere) {
      shop.step('published')
      return told(shop, name, fd)
    }
    isOver = false
    return staged
  } finally {
    if (isOver) sys.close(fd)
  }
}

function stageBytes(
  shop: Workshop,
  { parent, acl, bytes, labelling }: StageWholeArgs,
): Staged & { readonly unlabelled?: string | undefined } {
  const staged = stage(shop, { parent, acl })
  if (!('fd' in staged)) return staged
  const { fd } = staged
  try {
    for (let written = 0; written < bytes.length; ) {
      const count = sys.pwrite(fd, written === 0 ? bytes : bytes.subarray(written), written)
      if (count === 0) throw new StorageError('no-space', 'nothing written')
      written += count
    }
    return labelling ? { ...staged, ...labelled(shop, fd, labelling) } : staged
  } catch (error) {
    sys.close(fd)
    throw error
  }
}

/** Announced bytes that cannot fit are refused before they are sent. */
export function requireRoom(directory: number, size: number): void {
  const { available, blockSize, blocks } = sys.fstatfs(directory)
  // Some file systems do not tell.
  if (blocks > 0 && size > available * blockSize) throw new StorageError('no-space', 'the file system is full')
}

/** Gives the draft what the file it replaces has. Throws `stale` when that is not there any more. */
export function prepare(shop: Workshop, args: PrepareArgs): Prepared {
  const { using, walker, maker } = shop
  return using(args.parent, (directory) =>
    using(args.draft, (draft) => {
      requireExpected(shop, directory, args.name, args.expected)
      return closing(walker.open(directory, args.name, sys.O_PATH), (old) => {
        const stat = sys.fstat(old)
        // Whoever may write to the directory could put another file in its place: that is not what was asked for.
        if (shop.setup.native && !sys.faccessat2(old, '', sys.W_OK, sys.AT_EACCESS | sys.AT_EMPTY_PATH)) {
          throw new StorageError('denied', 'the file may not be written')
        }
        const overflow = keepsElsewhere(old, args.marker) ? { overflow: maker.id(stat) } : {}
        const kept = (!shop.setup.native || !hidesAcl(shop, old)) && passOn(shop, old, stat, draft, args.dropped)
        shop.step('prepared')
        return { kept, ...overflow }
      })
    }),
  )
}

/** The one step that makes a draft visible. */
export function publish(shop: Workshop, args: PublishArgs): Published {
  const { using, maker, setup } = shop
  // Told in full: it cannot be asked for twice.
  maker.begin(true)
  return using(args.parent, (directory) =>
    using(args.draft, (draft) => {
      if (args.asNew) becomeNew(shop, draft, directory, args.asNew.acl)
      if (args.modified !== undefined) sys.futimens(draft, 'omit', args.modified)
      const unlabelled = args.labels && labelDraft(shop, draft, args.labels)
      if (unlabelled !== undefined) return { unlabelled }
      if (setup.sync && (args.dirty || args.modified !== undefined || args.labels)) sys.fsync(draft)
      if (args.seen && !isSeen(shop, args.seen)) return { otherWay: true }
      const done = args.expected ? replace(shop, draft, directory, args) : appear(shop, draft, directory, args)
      if (!done) return { taken: true, named: args.named || args.expected !== undefined }
      shop.step('published')
      // File systems with a journal put a new name on disk with the file that it names.
      if (setup.sync && !syncDirectory(directory)) sys.fsync(draft)
      return { ...told(shop, args.name, draft), twoNames: done === 'beside' }
    }),
  )
}

/** Asked as late as can be. */
function isSeen({ walker, maker }: Workshop, { path, way }: Seen): boolean {
  return walker.at(path, { follow: true, visit: maker.passing }, (spot) => maker.wayTo(spot) === way)
}

/** Undefined where there is room; else the version that the labels are to be kept under elsewhere. */
function labelDraft(shop: Workshop, draft: number, labels: Labels): string | undefined {
  if (label(shop, draft, labels)) return undefined
  if (!markElsewhere(draft, labels)) throw new StorageError('no-space', 'the file can hold no more attributes')
  return shop.maker.version(sys.fstat(draft))
}

export interface LabelArgs {
  readonly draft: HandleRef
  readonly modified: bigint | undefined
  readonly labels: Labels
}

/** Time and labels of a draft whose bytes are all there, before it is synced; `unlabelled` as in Published. */
export function labelStaged(
  shop: Workshop,
  { draft, modified, labels }: LabelArgs,
): { readonly unlabelled: string | undefined } {
  return shop.using(draft, (fd) => labelled(shop, fd, { modified, labels }))
}

function labelled(shop: Workshop, fd: number, { modified, labels }: Pick<LabelArgs, 'modified' | 'labels'>) {
  if (modified !== undefined) sys.futimens(fd, 'omit', modified)
  return { unlabelled: labelDraft(shop, fd, labels) }
}

/** Returns false when the name is taken, `beside` when the hidden name is still there. */
function appear(
  shop: Workshop,
  draft: number,
  directory: number,
  { name, hidden, named }: Pick<PublishArgs, 'name' | 'hidden' | 'named'>,
): boolean | 'beside' {
  try {
    shop.step('renaming')
    if (!named) sys.linkDescriptor(draft, directory, name)
    else if (!renamed(directory, hidden, name)) {
      sys.linkat(directory, hidden, directory, name, 0)
      return 'beside'
    }
    return true
  } catch (error) {
    if (sys.isErrno(error, 'EEXIST')) return false
    // The directory was removed under the draft.
    if (sys.isErrno(error, 'ENOENT')) throw stale()
    throw error
  }
}

/** False where the file system cannot refuse to replace, as NFS. */
function renamed(directory: number, from: string, to: string): boolean {
  try {
    sys.renameat2(directory, from, directory, to, sys.RENAME_NOREPLACE)
    return true
  } catch (error) {
    if (sys.isErrno(error, 'EINVAL')) return false
    throw error
  }
}

/** Returns false when what was to be replaced is not there any more; the hidden name stays then. */
function replace(shop: Workshop, draft: number, directory: number, args: PublishArgs): boolean {
  const { name, hidden, named, expected } = args
  if (!named) sys.linkDescriptor(draft, directory, hidden)
  shop.step('linked')
  try {
    // As late as can be: nothing of ours comes in between, since this happens under a lease.
    if (expected) requireExpected(shop, directory, name, expected)
    shop.step('renaming')
    sys.renameat2(directory, hidden, directory, name, 0)
    return true
  } catch (error) {
    if (error instanceof StorageError && error.code === 'stale') return false
    if (!named) sys.unlinkat(directory, hidden, 0)
    throw error
  }
}

export interface HiddenArgs {
  readonly parent: HandleRef
  readonly name: string
}

/** Takes away a hidden name; one that is not there is fine. */
export function dropHidden(shop: Workshop, { parent, name }: HiddenArgs): void {
  shop.using(parent, (directory) => unlinkHidden(directory, name))
}

/** The same by path, for what a process that died has left. */
export function sweep(shop: Workshop, { path, name }: { readonly path: Path; readonly name: string }): void {
  shop.walker.at(path, { follow: false, visit: () => undefined }, ({ parent, name: last, stat }) => {
    if (!stat) return
    const flags = sys.O_PATH | sys.O_DIRECTORY
    const directory = parent ? shop.walker.open(parent.fd, last, flags) : sys.dup(shop.walker.rootFd)
    closing(directory, () => unlinkHidden(directory, name))
  })
}
