/** A clock that goes with the machine's until a test moves it on. What waits by it is woken by both. */

interface Alarm {
  readonly at: number
  readonly ring: () => void
  timer: NodeJS.Timeout | undefined
}

/** Longest delay that Node's timers hold. */
const longest = 0x7fff_ffff

export class Clock {
  readonly #alarms = new Set<Alarm>()
  #ahead = 0

  /** Milliseconds since 1970. */
  now(): number {
    return Date.now() + this.#ahead
  }

  /** Moves on; what was due in between rings before this returns, in order. */
  advance(milliseconds: number): void {
    this.#ahead += milliseconds
    for (const alarm of [...this.#alarms].toSorted((a, b) => a.at - b.at)) {
      if (alarm.at <= this.now()) this.#fire(alarm)
      else this.#arm(alarm)
    }
  }

  /** Calls `ring` once after that many milliseconds. Returns how to call it off. */
  after(milliseconds: number, ring: () => void): () => void {
    const alarm: Alarm = { at: this.now() + milliseconds, ring, timer: undefined }
    this.#alarms.add(alarm)
    this.#arm(alarm)
    return () => this.#forget(alarm)
  }

  /** Calls off everything. */
  stop(): void {
    for (const alarm of this.#alarms) this.#forget(alarm)
  }

  #arm(alarm: Alarm): void {
    clearTimeout(alarm.timer)
    const delay = Math.min(Math.max(alarm.at - this.now(), 0), longest)
    alarm.timer = setTimeout(() => (alarm.at <= this.now() ? this.#fire(alarm) : this.#arm(alarm)), delay)
    alarm.timer.unref()
  }

  #fire(alarm: Alarm): void {
    this.#forget(alarm)
    alarm.ring()
  }

  #forget(alarm: Alarm): void {
    clearTimeout(alarm.timer)
    this.#alarms.delete(alarm)
  }
}
