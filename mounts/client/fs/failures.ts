/** Why a request of a link did not come to its end. */

import { StorageError } from '../../../gateway/core/errors.ts'
import { Broken } from './wire.ts'

/** The session for which something was to be asked is over. */
export class SessionOver extends StorageError {
  constructor() {
    super('stale', 'the session with the gateway is over')
    this.name = 'SessionOver'
  }
}

/** It was sent, the answer never came, and who could tell is gone. */
export class Uncertain extends StorageError {
  constructor(cause: unknown) {
    super('unavailable', 'the connection broke; the outcome is unknown', { cause })
    this.name = 'Uncertain'
  }
}

/** The connection broke before anything of importance was sent on it. */
export class Unsent extends Broken {
  constructor(broken: Broken) {
    super(broken, broken.wasUsed, broken.progressAt)
    this.name = 'Unsent'
  }
}

/** To be sent again at once. */
export class Again extends StorageError {
  constructor(why: string) {
    super('unavailable', `the gateway has sent us away too often: ${why}`)
    this.name = 'Again'
  }
}

/** The same after a while: connections come out at other processes. */
export class Elsewhere extends StorageError {
  constructor() {
    super('unavailable', 'the process of the gateway that has the session takes no connections')
    this.name = 'Elsewhere'
  }
}
