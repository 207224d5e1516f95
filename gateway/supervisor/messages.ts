/** What supervisor and workers tell each other. Everything is plain JSON. */

import type { MetricObjectWithValues, MetricValueWithName } from 'prom-client'
import type { Config } from '../config.ts'

/** A listener as it came to be. */
export interface Address {
  /** Place of the listener in the configuration, from 0; those for S3 alone come after the others. */
  readonly listener: number
  readonly address: string
  /** The real one, where the configuration said 0. */
  readonly port: number
  readonly tls: boolean
  /** For S3 alone. */
  readonly s3: boolean
  /** "http://127.0.0.1:8080". */
  readonly url: string
}

export type Snapshot = readonly MetricObjectWithValues<MetricValueWithName<string>>[]

export type ToWorker =
  | { readonly kind: 'start'; readonly config: Config; readonly workers: number }
  /** Logs are opened anew; without a configuration nothing else happens. */
  | { readonly kind: 'reload'; readonly id: number; readonly config?: Config }
  | { readonly kind: 'metrics'; readonly id: number }
  /** Finish what runs within these milliseconds, then end. */
  | { readonly kind: 'stop'; readonly deadline: number }

export type FromWorker =
  /** The worker listens for messages. */
  | { readonly kind: 'up' }
  | { readonly kind: 'ready'; readonly addresses: readonly Address[] }
  /** It cannot start; it ends by itself. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'reloaded'; readonly id: number; readonly error?: string }
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: Snapshot }
