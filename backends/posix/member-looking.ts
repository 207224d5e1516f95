/** One object of a directory after the other, with few system calls for those of which there are many. */

import type { LabelNames } from './labelling.ts'
import type { KeptWire, MemberWire } from './member-wire.ts'
import * as sys from './native/sys.ts'
import { closing, kindOf, type Workshop } from './workshop.ts'

export class MemberLooker {
  readonly #shop: Workshop
  readonly #directory: number
  readonly #self: sys.Stat
  readonly #acls: boolean
  readonly #labels: LabelNames | undefined
  readonly #attributes: sys.MemberAttributes
  /** ACLs show in the names of attributes, so that who has none need not be opened for it. */
  readonly #tells: boolean
  #keeps: boolean | undefined

  constructor(shop: Workshop, directory: number, self: sys.Stat, acls: boolean, labels: LabelNames | undefined) {
    const { readsAcls, acls: reader } = shop.maker
    this.#shop = shop
    this.#directory = directory
    this.#self = self
    this.#acls = readsAcls || acls
    this.#labels = labels
    this.#attributes = new sys.MemberAttributes(directory)
    this.#tells = this.#acls && reader.tellsByNames(directory, self.dev)
  }

  /** Undefined where there is no such name. */
  look(name: string): MemberWire {
    try {
      return this.#acls ? this.#opened(name) : this.#unopened(name)
    } catch (error) {
      // Gone, or one may read the names of a directory that one may not enter.
      if (sys.isErrno(error, 'ENOENT') || sys.isErrno(error, 'EACCES')) return undefined
      if (!sys.isErrno(error, 'EXDEV')) throw error
      const stat = sys.fstatat(this.#directory, name, sys.AT_SYMLINK_NOFOLLOW)
      return [this.#shop.maker.foreign(name, stat)]
    }
  }

  /** What is kept says itself of which version it is, so it may be read by name. */
  #unopened(name: string): MemberWire {
    const { walker, maker } = this.#shop
    const stat = sys.fstatat(this.#directory, name, sys.AT_SYMLINK_NOFOLLOW)
    if (walker.isForeign(this.#self, stat)) return [maker.foreign(name, stat)]
    const entry = maker.below(this.#directory, name, stat, false)
    if (!this.#labels || kindOf(stat) !== sys.S_IFREG) return [entry]
    const read = (attribute: string) => this.#attributes.text(name, attribute)
    return [entry, this.#labelOf(stat, this.#attributes.names(name), read)]
  }

  /** Mode, list and attributes are those of one object. */
  #opened(name: string): MemberWire {
    const { walker, maker } = this.#shop
    return closing(walker.open(this.#directory, name, sys.O_PATH), (fd): MemberWire => {
      const stat = sys.fstat(fd)
      if (!this.#tells || kindOf(stat) !== sys.S_IFREG) return [maker.ofOpen(name, fd, stat), this.#labelIn(fd, stat)]
      const names = sys.attributeNames(fd)
      const isPlain = !maker.acls.isAmong(names)
      const entry = isPlain ? maker.seen(name, stat, maker.acls.ofMode(fd, stat)) : maker.ofOpen(name, fd, stat)
      return [entry, this.#labelOf(stat, names, (attribute) => sys.fgetxattr(fd, attribute)?.toString('utf8'))]
    })
  }

  #labelIn(fd: number, stat: sys.Stat): KeptWire {
    if (!this.#labels || kindOf(stat) !== sys.S_IFREG) return undefined
    return this.#labelOf(stat, sys.attributeNames(fd), (attribute) => sys.fgetxattr(fd, attribute)?.toString('utf8'))
  }

  #labelOf(stat: sys.Stat, names: string, read: (attribute: string) => string | undefined): KeptWire {
    const labels = this.#labels
    if (!labels) return undefined
    if (names.includes(`${labels.name}\0`)) {
      const text = readable(() => read(labels.name))
      if (text !== undefined) return text
    }
    const isElsewhere = names === '' ? !this.#keepsAttributes() : names.includes(`${labels.marker}\0`)
    return isElsewhere ? { overflow: this.#shop.maker.id(stat) } : undefined
  }

  /** Whether files here can have attributes at all. */
  #keepsAttributes(): boolean {
    this.#keeps ??= canHaveAttributes(this.#directory, this.#labels?.name ?? '')
    return this.#keeps
  }
}

/** Undefined where the caller may not: attributes are for who may read the bytes. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (sys.isErrno(error, 'EACCES') || sys.isErrno(error, 'EPERM')) return undefined
    throw error
  }
}

function canHaveAttributes(fd: number, name: string): boolean {
  try {
    sys.fgetxattr(fd, name)
    return true
  } catch (error) {
    if (sys.isErrno(error, 'ENOTSUP')) return false
    throw error
  }
}
