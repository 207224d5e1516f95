/**
 * Names that are known not to be there. The kernel asks again for such a name before it creates it (O_EXCL) or renames to
 * it, whatever it was told; whether it may be created is the gateway's to say in any case.
 */

const most = 65_536
/** Milliseconds in which nothing of a directory that we have just made is there but what we put into it. */
const fresh = 1000

interface Fresh {
  readonly until: number
  /** Names that something was said of. */
  readonly named: Set<string>
}

export class AbsentNames {
  readonly #now: () => number
  /** By directory: until when. */
  readonly #names = new Map<number, Map<string, number>>()
  /** Directories that were empty when they were made. */
  readonly #fresh = new Map<number, Fresh>()
  #count = 0

  /** `now`: milliseconds of a clock that is not set. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** For how many milliseconds the name is known to be absent; undefined where it is not. */
  left(directory: number, name: string): number | undefined {
    const left = (this.#names.get(directory)?.get(name) ?? this.#freshUntil(directory, name)) - this.#now()
    return left > 0 ? left : undefined
  }

  /** The gateway said so. */
  put(directory: number, name: string, valid: number): void {
    if (this.#count >= most) this.clear()
    const names = this.#names.get(directory) ?? new Map<string, number>()
    this.#names.set(directory, names)
    if (!names.has(name)) this.#count++
    names.set(name, this.#now() + valid)
  }

  /** It is there, or may be from now on. */
  forget(directory: number, name: string): void {
    const names = this.#names.get(directory)
    if (names?.delete(name)) this.#count--
    if (names?.size === 0) this.#names.delete(directory)
    const found = this.#fresh.get(directory)
    if (found && found.until <= this.#now()) this.#fresh.delete(directory)
    else found?.named.add(name)
  }

  /** Of a directory that has moved nothing is told where it was. */
  forgetAll(directory: number): void {
    this.#count -= this.#names.get(directory)?.size ?? 0
    this.#names.delete(directory)
    this.#fresh.delete(directory)
  }

  /** We have made this directory: it is empty. */
  began(directory: number): void {
    for (const [oldest, { until }] of this.#fresh) {
      if (until > this.#now() && this.#fresh.size < most) break
      this.#fresh.delete(oldest)
    }
    this.#fresh.set(directory, { until: this.#now() + fresh, named: new Set() })
  }

  clear(): void {
    this.#names.clear()
    this.#fresh.clear()
    this.#count = 0
  }

  #freshUntil(directory: number, name: string): number {
    const found = this.#fresh.get(directory)
    return found && !found.named.has(name) ? found.until : Number.NEGATIVE_INFINITY
  }
}
