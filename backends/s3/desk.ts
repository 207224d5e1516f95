/** What all operations of one S3 back end share. */

import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { BackendServices } from '../backend.ts'
import { Store } from './client.ts'
import { Keys } from './keys.ts'
import { defaults, type S3Options } from './options.ts'
import { Sidecars } from './sidecars.ts'
import { Trials } from './trials.ts'

/** ms to wait for another one's change of the same name. */
const patience = 20_000

export class Desk {
  readonly name: string
  readonly options: S3Options
  readonly services: BackendServices
  readonly store: Store
  readonly keys: Keys
  readonly sidecars: Sidecars
  readonly trials: Trials
  readonly partSize: number
  /** Names this store in the journal: two stores may have buckets of one name. */
  readonly journal: string
  /** Tells objects of this bucket from those of others. */
  readonly #place: string

  constructor(options: S3Options, services: BackendServices) {
    const { bucket, endpoint, prefix } = options
    this.options = options
    this.services = services
    this.keys = new Keys(prefix)
    this.name = options.name ?? `s3:${bucket}/${this.keys.prefix}`
    this.store = new Store(options)
    this.trials = new Trials(this.store, this.keys)
    this.sidecars = new Sidecars(this.store, this.keys, this.trials)
    this.partSize = options.partSize ?? defaults.partSize
    this.#place = `${endpoint.host}/${bucket}/`
    this.journal = `s3:${this.#place}${this.keys.prefix}`
  }

  check({ signal }: Call): void {
    this.store.check(signal)
  }

  /** The back-end object id of a key: it is the name, since an S3 object has nothing else that stays. */
  idOf(key: string): string {
    return this.#place + key
  }

  /** Runs while nobody of our state store changes these paths; in one order, so that nobody waits in a circle. */
  underLeases<T>(paths: readonly Path[], work: () => Promise<T>): Promise<T> {
    const keys = [...new Set(paths.map((path) => `s3:${this.idOf(this.keys.object(path))}`))].sort()
    return keys.reduceRight<() => Promise<T>>(
      (inner, key) => () => this.services.leases.withLease(key, patience, inner),
      work,
    )()
  }

  log(message: string, cause?: unknown): void {
    this.options.log?.(`${this.name}: ${message}`, cause)
  }
}
