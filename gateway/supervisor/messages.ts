/** What supervisor and workers tell each other. Everything is plain JSON. */

import type { MetricObjectWithValues, MetricValueWithName } from 'prom-client'
import type { Config } from '../config.ts'
import type { Change } from '../core/feed.ts'

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
  | { readonly kind: 'start'; readonly config: Config; readonly workers: number; readonly watched: boolean }
  /** Logs are opened anew; without a configuration nothing else happens. */
  | { readonly kind: 'reload'; readonly id: number; readonly config?: Config }
  | { readonly kind: 'metrics'; readonly id: number }
  /** Whether another worker watches the namespace, and so wants to hear of changes. */
  | { readonly kind: 'watched'; readonly id: number; readonly wanted: boolean }
  /** All others know of the wish of this number. */
  | { readonly kind: 'granted'; readonly id: number }
  /** What others have changed. */
  | { readonly kind: 'changes'; readonly changes: readonly Change[] }
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
  | { readonly kind: 'watched'; readonly id: number }
  /** It wants to hear of what others change, or does so no more. */
  | { readonly kind: 'watching'; readonly id: number; readonly wanted: boolean }
  | { readonly kind: 'changes'; readonly changes: readonly Change[] }
