/**
 * Uploads before their commit: under a reserved name in the target's own directory, so that what dCache inherits and
 * counts there is right, and written down before they are made, so that a sweep finds what a crash has left.
 */

import { anonymous, type Principal } from '../../acl/principal.ts'
import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { join, nameOf, type Path, parentOf, parsePath } from '../../gateway/core/path.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { stagingName, stagingPrefix } from './names.ts'

/** Milliseconds for what is done after its caller has gone. */
const patience = 10_000

/** Who removes what others have left: no caller, but the gateway itself. */
const sweeper: Principal = { ...anonymous, id: 'portolan' }

interface Login {
  readonly authorization?: Secret
}

export class StagingArea {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  /** A name beside `target`, written down. Give it back by `strike` or `drop`. */
  async reserve(target: Path): Promise<Path> {
    const path = join(parentOf(target), stagingName())
    await this.#desk.services.journal.add(this.#desk.name, path)
    return path
  }

  /** Nothing is under the name any more, or never was. What cannot be struck out is looked for by a sweep, in vain. */
  async strike(path: Path): Promise<void> {
    try {
      await this.#desk.services.journal.remove(this.#desk.name, path)
    } catch (error) {
      this.#desk.log(`an upload could not be struck from the journal: ${nameOf(path)}`, error)
    }
  }

  /**
   * Removes what is there, for a caller who may have gone, and whose credential may have ended: then the gateway does it
   * by its own login, as the sweep would. What cannot be removed now is left to that.
   */
  async drop(path: Path, scope: Scope, { id, principal, protocol, from }: Call): Promise<void> {
    try {
      const signal = AbortSignal.timeout(patience)
      const call: Call = { id, principal, protocol, from, signal }
      try {
        await this.#remove(path, scope, call)
      } catch (error) {
        const { code } = StorageError.from(error)
        const authorization = code === 'unauthenticated' || code === 'denied' ? await this.#desk.ownLogin() : undefined
        if (!authorization) throw error
        await this.#remove(path, { authorization }, call)
      }
      await this.strike(path)
    } catch (error) {
      this.#desk.log(`an upload could not be taken away: ${nameOf(path)}`, error)
    }
  }

  /** Removes a file that nobody needs any more, after it was given a name of ours. Never throws. */
  async discard(path: Path, scope: Scope, call: Call): Promise<void> {
    try {
      await this.#desk.services.journal.add(this.#desk.name, path)
    } catch (error) {
      this.#desk.log(`a replaced file could not be written down: ${nameOf(path)}`, error)
    }
    await this.drop(path, scope, call)
  }

  /**
   * Removes what processes dead for `age` ms have left. Returns how many names it dealt with. The gateway needs a login
   * of its own for that; without one what is left stays, hidden, and in the journal.
   */
  async sweep(age: number): Promise<number> {
    const places = await this.#desk.services.journal.stale(this.#desk.name, age)
    const authorization = places.length > 0 ? await this.#desk.ownLogin() : undefined
    if (!authorization) {
      if (places.length > 0) this.#desk.log(`${places.length} uploads were left behind, and no login to remove them`)
      return 0
    }
    let count = 0
    for (const place of places) {
      try {
        if (await this.#sweepOne(parsePath(place), authorization)) count++
      } catch (error) {
        // Another time; the others must not wait for it.
        this.#desk.log('an upload that was left behind could not be taken away', error)
      }
    }
    return count
  }

  async #sweepOne(path: Path, authorization: Secret): Promise<boolean> {
    // Written by us, but read from outside: nothing else is ever removed on its word.
    if (!nameOf(path).startsWith(stagingPrefix)) return false
    const signal = AbortSignal.timeout(patience)
    const call: Call = { id: 'sweep', principal: sweeper, protocol: 'internal', from: '127.0.0.1', signal }
    await this.#remove(path, { authorization }, call)
    await this.strike(path)
    return true
  }

  async #remove(path: Path, scope: Partial<Scope> & Login, call: Call): Promise<void> {
    const response = await this.#desk.webdav.request({
      method: 'DELETE',
      path: this.#desk.inDcache(path),
      call,
      activities: ['DELETE'],
      ...scope,
      idempotent: true,
    })
    if (response.status !== 404 && (response.status < 200 || response.status > 299))
      throw await refusalOf(response, path)
    response.discard()
  }
}
