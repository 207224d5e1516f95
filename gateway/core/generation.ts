/** The calls that began under one mount table: they may still use its back ends after another took its place. */
export class Generation {
  readonly #over = Promise.withResolvers<void>()
  #running = 0
  #isLast = false

  enter(): void {
    this.#running++
  }

  leave(): void {
    this.#running--
    this.#check()
  }

  /** Nobody enters any more. Resolves when everybody has left. */
  close(): Promise<void> {
    this.#isLast = true
    this.#check()
    return this.#over.promise
  }

  #check(): void {
    if (this.#isLast && this.#running === 0) this.#over.resolve()
  }
}
