/** Symbolic links, and further names of files. */

import type { Call } from '../../../gateway/core/call.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { nameOf, type Path } from '../../../gateway/core/path.ts'
import type { Entry, LinkFacet, Pending, PendingMove } from '../../backend.ts'
import { type Desk, lookAt, lookInto, type NameSight, pendingOf } from '../desk.ts'
import { refusal, requireFile, requirePlace } from '../requiring.ts'

export class FileLinking implements LinkFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async symlink(link: Path, target: string, call: Call): Promise<Pending<Entry>> {
    const caller = this.#desk.caller(call)
    const sight = await lookAt(this.#desk, link, false, caller)
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      if (target === '' || target.includes('\0') || !target.isWellFormed()) {
        throw new StorageError('invalid', 'a link cannot lead there', { path: link })
      }
      const parent = this.#requireFree(sight, link)
      const made = await this.#desk.run('symlink', { parent, name: nameOf(link), target }, caller)
      return this.#desk.entry(made.entry, made)
    }
    return pendingOf(sight.trail, proceed, sight.parent)
  }

  async link(file: Path, name: Path, call: Call): Promise<PendingMove<Entry>> {
    const caller = this.#desk.caller(call)
    const { trail, object } = await lookInto(this.#desk, file, caller, false)
    let place: NameSight
    try {
      place = await lookAt(this.#desk, name, false, caller)
    } catch (error) {
      object?.release()
      throw error
    }
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      const { acl } = requireFile(trail, file)
      if (!object) throw refusal({}, file)
      const args = { object: object.ref, parent: this.#requireFree(place, name), name: nameOf(name) }
      const linked = await this.#desk.run('link', args, caller)
      return this.#desk.entry(linked.entry, linked, acl)
    }
    return { ...pendingOf(trail, proceed, object, place.parent), target: place.trail }
  }

  #requireFree(sight: NameSight, path: Path) {
    if (sight.trail.entry) throw new StorageError('exists', 'something of that name exists', { path })
    return requirePlace(this.#desk, sight, path).parent.ref
  }
}
