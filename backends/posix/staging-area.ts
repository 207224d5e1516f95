/**
 * Hidden names: told to the journal before they are made and struck off when they are gone, so that a sweep finds
 * what a process that died has left.
 */

import { randomBytes } from 'node:crypto'
import type { PosixIds } from '../../acl/principal.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parentOf } from '../../gateway/core/path.ts'
import type { Caller, Desk, Sight } from './desk.ts'
import type { Handle } from './handles.ts'
import { isOurs, stagingPrefix } from './options.ts'

/** A hidden name in a directory that is kept open. */
export interface Hidden {
  readonly name: string
  /** What the journal calls it. */
  readonly place: string
}

interface Place {
  readonly directory: Path
  readonly name: string
  readonly uid?: number
  readonly gid?: number
  /** A directory of a group may let him in by one of these alone. */
  readonly gids?: readonly number[]
}

/** The hidden names of one mount. */
export class StagingArea {
  readonly #desk: Desk
  /** Places that could not be cleaned when their caller ended; the next sweep tries again. */
  readonly #left = new Set<string>()

  constructor(desk: Desk) {
    this.#desk = desk
  }

  /** A name that only its caller knows of. */
  name(directory: Path, { ids }: Caller): Hidden {
    const name = `${stagingPrefix}${randomBytes(12).toString('hex')}`
    const place: Place = { directory, name, ...(typeof ids === 'object' && ids) }
    return { name, place: JSON.stringify(place) }
  }

  /** The name that `place` tells; undefined for what is not ours. */
  named(place: string): Hidden | undefined {
    const parsed = parse(place)
    return parsed && { name: parsed.name, place }
  }

  /** A name that the journal knows of. */
  async reserve(directory: Path, caller: Caller): Promise<Hidden> {
    const hidden = this.name(directory, caller)
    const { services, name, setup } = this.#desk
    await services.journal.add(name, hidden.place, { hasty: !setup.sync })
    return hidden
  }

  /** The name exists no more. */
  async strike({ place }: Hidden): Promise<void> {
    try {
      await this.#desk.services.journal.remove(this.#desk.name, place)
    } catch (error) {
      // The sweep drops an entry whose file is gone.
      this.#desk.log(`${this.#desk.name}: the journal could not be updated`, error)
      this.#left.add(place)
    }
  }

  /** Takes a name away that may or may not exist; what cannot be done now is left to the sweep. */
  async drop(hidden: Hidden, parent: Handle, caller: Caller): Promise<void> {
    try {
      await this.#desk.run('dropHidden', { parent: parent.ref, name: hidden.name }, this.#desk.surely(caller))
    } catch {
      this.#left.add(hidden.place)
      return
    }
    await this.strike(hidden)
  }

  /**
   * Takes away what this process could not, and what others left that died more than `age` ms ago.
   * Returns how many names it dealt with.
   */
  async sweep(age: number): Promise<number> {
    const { services, name } = this.#desk
    const places = new Set([...this.#left, ...(await services.journal.stale(name, age))])
    let done = 0
    for (const place of places) if (await this.#clean(place)) done++
    return done
  }

  /** Takes away the name that `place` tells, as who made it. */
  async remove(text: string): Promise<void> {
    const place = parse(text)
    try {
      if (place) await this.#desk.run('sweep', { path: place.directory, name: place.name }, this.#as(place))
    } catch (error) {
      const { code } = StorageError.from(error)
      // A directory that is gone took the file along.
      if (code !== 'not-found' && code !== 'not-directory') throw error
    }
  }

  async #clean(text: string): Promise<boolean> {
    const { services, name } = this.#desk
    try {
      await this.remove(text)
    } catch {
      // It may be better the next time.
      return false
    }
    await services.journal.remove(name, text)
    this.#left.delete(text)
    return true
  }

  #as({ uid, gid, gids = [] }: Place): Caller {
    if (uid === undefined || gid === undefined) return this.#desk.itself
    const ids: PosixIds = { uid, gid, gids }
    return { ids, signal: this.#desk.itself.signal }
  }
}

/** Undefined for what is not ours: it is dropped from the journal. */
function parse(text: string): Place | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { directory, name, uid, gid, gids } = value as Readonly<Record<string, unknown>>
  if (typeof directory !== 'string' || typeof name !== 'string' || !isOurs(name)) return undefined
  const place = { directory: directory as Path, name }
  if (typeof uid !== 'number' || typeof gid !== 'number') return place
  return { ...place, uid, gid, gids: Array.isArray(gids) ? gids.filter((id) => typeof id === 'number') : [] }
}

/** The directory in which a name lies, without links. */
export function directoryOf({ looked }: Sight, path: Path): Path {
  return parentOf(looked.resolved ?? path)
}
