/** Many alarms of one and the same duration with one timer: setting and stopping one costs a list operation. */

/** An alarm that has been set. */
export interface Alarm {
  readonly due: number
  readonly ring: () => void
  previous: Alarm | undefined
  next: Alarm | undefined
  set: boolean
}

/** All alarms last equally long, so the first one set is the first one due. */
export class Deadlines {
  readonly #duration: number
  #first: Alarm | undefined
  #last: Alarm | undefined
  #timer: NodeJS.Timeout | undefined

  /** `duration` in milliseconds. */
  constructor(duration: number) {
    this.#duration = duration
  }

  /** `ring` is called once after the duration, unless the alarm is stopped before. It must not throw. */
  start(ring: () => void): Alarm {
    const alarm: Alarm = {
      due: performance.now() + this.#duration,
      ring,
      previous: this.#last,
      next: undefined,
      set: true,
    }
    if (this.#last) this.#last.next = alarm
    else this.#first = alarm
    this.#last = alarm
    if (this.#timer === undefined) this.#arm(this.#duration)
    else if (this.#first === alarm) this.#timer.ref()
    return alarm
  }

  /** Harmless for an alarm that has rung or was stopped. */
  stop(alarm: Alarm): void {
    if (!alarm.set) return
    alarm.set = false
    if (alarm.previous) alarm.previous.next = alarm.next
    else this.#first = alarm.next
    if (alarm.next) alarm.next.previous = alarm.previous
    else this.#last = alarm.previous
    // The timer stays armed for the next alarm, but an idle process may end.
    if (this.#first === undefined) this.#timer?.unref()
  }

  /** Lets go of the timer. Alarms still set do not ring any more. */
  clear(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#first = undefined
    this.#last = undefined
  }

  #arm(delay: number): void {
    this.#timer = setTimeout(() => this.#ring(), Math.max(1, Math.ceil(delay)))
  }

  #ring(): void {
    this.#timer = undefined
    const now = performance.now()
    let alarm = this.#first
    while (alarm && alarm.due <= now) {
      this.stop(alarm)
      alarm.ring()
      alarm = this.#first
    }
    if (alarm && this.#timer === undefined) this.#arm(alarm.due - now)
  }
}
