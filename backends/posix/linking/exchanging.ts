/** Two objects change places. */

import type { Call } from '../../../gateway/core/call.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { isWithin, type Path } from '../../../gateway/core/path.ts'
import type { ExchangeFacet, PendingMove } from '../../backend.ts'
import { type Desk, lookAt, type NameSight, pendingOf } from '../desk.ts'
import { leaseKey, underLeases } from '../leasing.ts'
import { requireEntry } from '../requiring.ts'

interface Place extends NameSight {
  readonly path: Path
}

export class FileExchanging implements ExchangeFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async exchange(one: Path, other: Path, call: Call): Promise<PendingMove> {
    const caller = this.#desk.caller(call)
    const first = await lookAt(this.#desk, one, false, caller)
    let second: NameSight
    try {
      second = await lookAt(this.#desk, other, false, caller)
    } catch (error) {
      first.parent?.release()
      throw error
    }
    const proceed = () => this.#exchange({ ...first, path: one }, { ...second, path: other }, call)
    return { ...pendingOf(first.trail, proceed, first.parent, second.parent), target: second.trail }
  }

  async #exchange(one: Place, other: Place, call: Call): Promise<void> {
    this.#desk.requireAlive(call.signal)
    const args = { one: nameAt(one), other: nameAt(other) }
    if (one.path === other.path) return
    if (isWithin(one.path, other.path) || isWithin(other.path, one.path)) {
      throw new StorageError('invalid', 'a directory cannot move into itself', { path: other.path })
    }
    const keys = [leaseKey(one.trail, args.one.name), leaseKey(other.trail, args.other.name)]
    await underLeases(this.#desk, keys, () => this.#desk.run('exchange', args, this.#desk.caller(call)))
  }
}

function nameAt({ trail, parent, path }: Place) {
  const { id, changed, name } = requireEntry(trail, path)
  if (!parent) throw new StorageError('invalid', 'the root cannot be moved', { path })
  return { parent: parent.ref, name, expected: { id, changed } }
}
