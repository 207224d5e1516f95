/** Extended attributes of callers. Those of ours are in the same name space, and do not exist for anybody. */

import type { Call } from '../../../gateway/core/call.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import type { Pending, XattrFacet } from '../../backend.ts'
import { type Desk, lookInto, pendingOf } from '../desk.ts'
import type { HandleRef } from '../handles.ts'
import { refusal, requireEntry } from '../requiring.ts'
import { userSpace } from './acts.ts'

const reserved = 'portolan.'
/** Bytes, of the kernel (XATTR_NAME_MAX, XATTR_SIZE_MAX). */
const longestName = 255
const largestValue = 65_536

export class FileXattrs implements XattrFacet {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  async get(path: Path, name: string, call: Call): Promise<Pending<Uint8Array | undefined>> {
    return this.#pending(path, call, async (object) => {
      if (isReserved(name)) return undefined
      const names = [fullName(name)]
      const { values } = await this.#desk.run('readAttributes', { object, names }, this.#desk.caller(call))
      return values[0]
    })
  }

  async list(path: Path, call: Call): Promise<Pending<readonly string[]>> {
    return this.#pending(path, call, async (object) => {
      const names = await this.#desk.run('listXattrs', { object }, this.#desk.caller(call))
      return names.filter((name) => !isReserved(name))
    })
  }

  async set(
    path: Path,
    name: string,
    value: Uint8Array | undefined,
    condition: 'any' | 'absent' | 'present',
    call: Call,
  ): Promise<Pending<void>> {
    return this.#pending(path, call, async (object) => {
      if (isReserved(name)) {
        const reason = { rule: 'reserved', text: 'attributes of that name are the gateway’s own' }
        throw new StorageError('denied', 'this name is reserved', { path, reason })
      }
      if (value && value.length > largestValue) throw new StorageError('too-large', 'the value is too long', { path })
      // A slice of a pool would be cloned with all of the pool.
      const own = value && new Uint8Array(value)
      const args = { object, name: fullName(name), value: own, condition }
      await this.#desk.run('setXattr', args, this.#desk.caller(call))
    })
  }

  /** A link is not followed: whoever asks has followed it, or means the link. */
  async #pending<T>(path: Path, call: Call, act: (object: HandleRef) => Promise<T>): Promise<Pending<T>> {
    const { trail, object } = await lookInto(this.#desk, path, this.#desk.caller(call), false)
    const proceed = async () => {
      this.#desk.requireAlive(call.signal)
      requireEntry(trail, path)
      if (!object) throw refusal({}, path)
      return act(object.ref)
    }
    return pendingOf(trail, proceed, object)
  }
}

function isReserved(name: string): boolean {
  return name.startsWith(reserved)
}

function fullName(name: string): string {
  if (name === '' || name.includes('\0') || !name.isWellFormed()) {
    throw new StorageError('invalid', 'this is no name of an attribute')
  }
  const full = `${userSpace}${name}`
  if (Buffer.byteLength(full) > longestName) throw new StorageError('name-too-long', 'the name is too long')
  return full
}
