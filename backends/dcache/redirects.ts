/**
 * URLs of the dCache door from which a caller may fetch a file itself.
 *
 * The door's and not a pool's, which would be good for one request: many ranges can be read from one. A macaroon
 * goes with it that allows nothing but downloading this file from the caller's address for some minutes. The door
 * decides about every request by the rights of the caller, for whom the macaroon was made.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Entry, RedirectFacet } from '../backend.ts'
import { addressOf, isLoopback } from './addresses.ts'
import type { Activity, Delegation } from './credentials.ts'
import { type Granted, narrowed } from './macaroons.ts'
import { encodePath, pathInDcache } from './names.ts'

export interface RedirectOptions {
  /** Seconds that such a URL is good for; default 600. It never outlives the caller's token. */
  readonly validity?: number
  /** The WebDAV door as callers reach it, where that is not the address that the gateway uses. */
  readonly door?: URL
}

const activities: readonly Activity[] = ['DOWNLOAD', 'READ_METADATA']
/** A URL that ends sooner than this many milliseconds is not worth following. */
const leastLife = 10_000

export class DoorRedirects implements RedirectFacet {
  readonly #door: URL
  readonly #root: Path
  readonly #delegation: Delegation
  readonly #validity: number
  readonly #log: (message: string, cause?: unknown) => void

  /** `door`: the WebDAV door as the gateway reaches it. Throws `invalid` where a macaroon would travel without TLS. */
  constructor(
    options: RedirectOptions,
    parts: {
      readonly door: URL
      readonly root: Path
      readonly delegation: Delegation
      readonly log?: ((message: string, cause?: unknown) => void) | undefined
    },
  ) {
    const door = options.door ?? parts.door
    if (door.protocol !== 'https:' && !isLoopback(door.hostname)) {
      throw new StorageError('invalid', 'callers are sent to a door with https only')
    }
    this.#door = door
    this.#root = parts.root
    this.#delegation = parts.delegation
    this.#validity = options.validity ?? 600
    this.#log = parts.log ?? (() => {})
  }

  async readUrl(file: Path, entry: Entry, call: Call): Promise<URL | undefined> {
    const { locality } = entry
    // What a door would first bring from tape is not fetched from it.
    if (locality !== 'disk' && locality !== 'disk-and-tape' && locality !== 'none') return undefined
    const address = addressOf(call.from)
    if (address === undefined) return undefined
    const login = await this.#delegation.login(call)
    if (!login) return undefined
    const end = this.#delegation.endFor(login, this.#validity)
    if (end - Date.now() < leastLife) return undefined
    const path = pathInDcache(file, this.#root)
    const { authorization, owner } = login
    const granted = await this.#ask({ authorization, owner, path, activities, address, end }, call)
    if (!granted || !isBoundTo(granted, path)) return undefined
    // The same once more, by our own hand: what is given away does not rest on another's word.
    const macaroon = narrowed(granted, `activity:${activities.join()}`, `ip:${address}`)
    const url = new URL(this.#door)
    url.pathname = `${url.pathname.replace(/\/$/, '')}${encodePath(path)}`
    url.search = `?authz=${macaroon.reveal()}`
    return url
  }

  /** A door that gives no macaroons is no reason to refuse the bytes: they go through the gateway then. */
  async #ask(order: Parameters<Delegation['macaroons']['get']>[0], call: Call): Promise<Granted | undefined> {
    try {
      return await this.#delegation.macaroons.get(order, call)
    } catch (thrown) {
      if (call.signal.aborted) throw thrown
      this.#log('no macaroon for a redirect', thrown)
      return undefined
    }
  }
}

/** The path of the request becomes a caveat (dCache User Guide, "Macaroons"). One of a door that forgot it is kept here. */
function isBoundTo({ macaroon }: Granted, path: string): boolean {
  return macaroon.caveats.includes(`path:${path}`)
}
