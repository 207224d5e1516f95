/**
 * Prometheus metrics of Storage. Labels are bounded: doors, operations, error codes and the mount paths
 * of the configuration; never a path or a user of a caller.
 *
 * Counting is a few array writes; the numbers are handed to prom-client only when they are scraped.
 */

import { Counter, Gauge, Histogram, type MetricObjectWithValues, type MetricValueWithName, Registry } from 'prom-client'
import type { Protocol } from './call.ts'
import { type ErrorCode, errorCodes } from './errors.ts'
import { type Operation, operations } from './task.ts'

const doors: readonly Protocol[] = ['http', 'api', 's3', 'nfs', 'fuse', 'internal']
const outcomes: readonly (ErrorCode | 'ok')[] = ['ok', ...errorCodes]
/** Seconds. */
const bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120]

const doorIndex = new Map(doors.map((door, index) => [door, index]))
const operationIndex = new Map(operations.map((operation, index) => [operation, index]))
const outcomeIndex = new Map(outcomes.map((outcome, index) => [outcome, index]))

/** What is read at the moment of a scrape. */
export interface Gauges {
  mounts(): Iterable<{
    readonly mount: string
    readonly inFlight: number
    readonly expired: number
    readonly refused: number
  }>
  audit(): { readonly failures: number; readonly dropped: number; readonly healthy: boolean }
}

export class Metrics {
  readonly registry: Registry
  readonly #calls = new Float64Array(doors.length * operations.length * outcomes.length)
  /** By door and operation: the buckets, one for what is beyond, the sum. */
  readonly #durations = new Float64Array(doors.length * operations.length * (bounds.length + 2))
  readonly #bytes = { in: new Float64Array(doors.length), out: new Float64Array(doors.length) }
  #drafts = 0

  constructor(registry: Registry = new Registry()) {
    this.registry = registry
    this.#registerCalls()
    this.#registerBytes()
    const drafts = () => this.#drafts
    new Gauge({
      name: 'portolan_drafts_open',
      help: 'Uploads begun and neither committed nor discarded',
      registers: [registry],
      collect() {
        this.set(drafts())
      },
    })
  }

  /** One call has ended. */
  count(door: Protocol, operation: Operation, outcome: ErrorCode | 'ok', ms: number): void {
    const row = (doorIndex.get(door) ?? 0) * operations.length + (operationIndex.get(operation) ?? 0)
    const call = row * outcomes.length + (outcomeIndex.get(outcome) ?? 0)
    this.#calls[call] = (this.#calls[call] as number) + 1
    const seconds = ms / 1000
    let bucket = 0
    while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket++
    const first = row * (bounds.length + 2)
    this.#durations[first + bucket] = (this.#durations[first + bucket] as number) + 1
    const sum = first + bounds.length + 1
    this.#durations[sum] = (this.#durations[sum] as number) + seconds
  }

  /** Bytes of file contents that callers sent (`in`) or got (`out`). */
  moved(door: Protocol, direction: 'in' | 'out', bytes: number): void {
    const index = doorIndex.get(door) ?? 0
    const sums = this.#bytes[direction]
    sums[index] = (sums[index] as number) + bytes
  }

  draftOpened(): void {
    this.#drafts++
  }

  draftEnded(): void {
    this.#drafts--
  }

  /** Shows what others count. To be called once. */
  watch(gauges: Gauges): void {
    const registers = [this.registry]
    new Gauge({
      name: 'portolan_mount_calls_in_flight',
      help: 'Calls that wait for the back end of a mount',
      labelNames: ['mount'],
      registers,
      collect() {
        this.reset()
        for (const { mount, inFlight } of gauges.mounts()) this.set({ mount }, inFlight)
      },
    })
    new Gauge({
      name: 'portolan_mount_calls_stopped',
      help: 'Calls that a mount has refused as busy or ended at its deadline, since its configuration was loaded',
      labelNames: ['mount', 'why'],
      registers,
      collect() {
        this.reset()
        for (const { mount, expired, refused } of gauges.mounts()) {
          this.set({ mount, why: 'deadline' }, expired)
          this.set({ mount, why: 'busy' }, refused)
        }
      },
    })
    new Gauge({
      name: 'portolan_audit_state',
      help: 'Writes of the audit log that failed, lines lost, and whether calls are refused for it',
      labelNames: ['what'],
      registers,
      collect() {
        const { failures, dropped, healthy } = gauges.audit()
        this.set({ what: 'failures' }, failures)
        this.set({ what: 'dropped' }, dropped)
        this.set({ what: 'refusing' }, healthy ? 0 : 1)
      },
    })
  }

  #registerCalls(): void {
    const calls = this.#calls
    new Counter({
      name: 'portolan_calls_total',
      help: 'Calls to Storage that have ended',
      labelNames: ['door', 'action', 'outcome'],
      registers: [this.registry],
      collect() {
        this.reset()
        calls.forEach((count, index) => {
          if (count === 0) return
          const { door, action } = labelsOf(Math.floor(index / outcomes.length))
          this.inc({ door, action, outcome: outcomes[index % outcomes.length] ?? '' }, count)
        })
      },
    })
    this.registry.registerMetric(new Durations(this.#durations))
  }

  #registerBytes(): void {
    const bytes = this.#bytes
    new Counter({
      name: 'portolan_content_bytes_total',
      help: 'Bytes of file contents sent by callers (in) and to them (out)',
      labelNames: ['door', 'direction'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const [direction, sums] of Object.entries(bytes)) {
          sums.forEach((sum, index) => {
            if (sum > 0) this.inc({ door: doors[index] ?? '', direction }, sum)
          })
        }
      },
    })
  }
}

const durationName = 'portolan_call_duration_seconds'
const durationOptions = {
  name: durationName,
  help: 'Time from the start of a call to its end; a transfer ends with its last byte',
  labelNames: ['door', 'action'],
  buckets: bounds,
  registers: [],
}

type Values = MetricValueWithName<string>

/** A histogram whose numbers live in our array. */
class Durations extends Histogram {
  readonly #numbers: Float64Array
  /** Has no numbers, and gives the form around them. */
  readonly #form = new Histogram(durationOptions)

  constructor(numbers: Float64Array) {
    super(durationOptions)
    this.#numbers = numbers
  }

  override async get(): Promise<MetricObjectWithValues<Values>> {
    return { ...(await this.#form.get()), values: this.#values() }
  }

  /** prom-client's own text form would read its own numbers. */
  getForPromString(): Promise<MetricObjectWithValues<Values>> {
    return this.get()
  }

  #values(): Values[] {
    const name = durationName
    const width = bounds.length + 2
    const values: Values[] = []
    for (let row = 0; row * width < this.#numbers.length; row++) {
      const numbers = this.#numbers.subarray(row * width, row * width + width)
      const labels = labelsOf(row)
      let count = 0
      const buckets: Values[] = []
      for (let bucket = 0; bucket <= bounds.length; bucket++) {
        count += numbers[bucket] ?? 0
        buckets.push({
          metricName: `${name}_bucket`,
          labels: { le: bounds[bucket] ?? '+Inf', ...labels },
          value: count,
        })
      }
      if (count === 0) continue
      values.push(...buckets)
      values.push({ metricName: `${name}_sum`, labels, value: numbers[width - 1] ?? 0 })
      values.push({ metricName: `${name}_count`, labels, value: count })
    }
    return values
  }
}

function labelsOf(row: number): { readonly door: string; readonly action: string } {
  return {
    door: doors[Math.floor(row / operations.length)] ?? '',
    action: operations[row % operations.length] ?? '',
  }
}
