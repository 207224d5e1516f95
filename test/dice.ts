/** Chance that can be had again, and what it does to texts. */

/** xorshift32: the same numbers for the same seed. */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 1
  }

  /** From 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % limit
  }

  of<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0]
  }
}

/** Up to three times: some bytes changed, cut, doubled, or a piece put in. */
export function mutated(
  text: string | Buffer,
  dice: Dice,
  pieces: readonly [string, ...string[]],
): Buffer<ArrayBuffer> {
  let bytes: Buffer<ArrayBuffer> = Buffer.from(text)
  for (let left = dice.below(4); left > 0; left--) {
    const at = dice.below(bytes.length + 1)
    switch (dice.below(4)) {
      case 0:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(dice.of(pieces)), bytes.subarray(at)])
        break
      case 1:
        bytes = bytes.subarray(0, at)
        break
      case 2:
        if (at < bytes.length) bytes = Buffer.from(bytes).fill(dice.below(256), at, at + 1)
        break
      default:
        bytes = Buffer.concat([bytes, bytes.subarray(at)])
    }
  }
  return bytes
}
