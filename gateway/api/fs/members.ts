/** The JSON body of an operation, read strictly: each member is asked for by its type, and what nobody asked for is refused. */

import { StorageError } from '../../core/errors.ts'
import { checkName, type Path, parsePath } from '../../core/path.ts'

type Json = Readonly<Record<string, unknown>>

/** Longest text that is no path. */
const maxText = 4096

/** Throws `invalid` for bytes that are no JSON object in UTF-8. */
export function membersOf(body: Uint8Array): Members {
  return new Members(requireObject(parse(body), 'the body'))
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (cause) {
    throw new StorageError('invalid', 'the body is not JSON', { cause })
  }
}

function requireObject(value: unknown, name: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw new StorageError('invalid', `${name} is not a JSON object`)
}

/** Every method throws `invalid` for a member of another type, and those without `?` in their name for one that is missing. */
export class Members {
  readonly #json: Json
  readonly #asked = new Set<string>()

  constructor(json: Json) {
    this.#json = json
  }

  /** Refuses members that nobody has asked for: one that is passed over might have been a bound. */
  end(): void {
    for (const name of Object.keys(this.#json)) {
      if (!this.#asked.has(name))
        throw new StorageError('invalid', `the member ${name} is not known here`.slice(0, 200))
    }
  }

  has(name: string): boolean {
    return this.#json[name] !== undefined
  }

  path(name = 'path'): Path {
    return parsePath(this.#string(name))
  }

  /** One name of a directory. */
  name(name: string): string {
    const text = this.#string(name)
    checkName(text)
    return text
  }

  text(name: string, longest = maxText): string {
    const text = this.#string(name)
    if (text.length > longest || !text.isWellFormed()) throw fault(name, 'is too long, or not Unicode')
    return text
  }

  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : this.#absent(name)
  }

  word<Word extends string>(name: string, words: readonly Word[]): Word {
    const text = this.#string(name)
    const word = words.find((each) => each === text)
    if (word === undefined) throw fault(name, `is one of ${words.join(', ')}`)
    return word
  }

  /** From 0 to 2^53 - 1. */
  whole(name: string, most: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#take(name)
    if (
      typeof value !== 'number' ||
      !Number.isSafeInteger(value) ||
      value < 0 ||
      value > most ||
      Object.is(value, -0)
    ) {
      throw fault(name, `is a whole number from 0 to ${most}`)
    }
    return value
  }

  optionalWhole(name: string, most?: number): number | undefined {
    return this.has(name) ? this.whole(name, most) : this.#absent(name)
  }

  /** False if absent. */
  flag(name: string): boolean {
    const value = this.#take(name)
    if (value !== undefined && typeof value !== 'boolean') throw fault(name, 'is true or false')
    return value === true
  }

  /** Nanoseconds since 1970 as decimal digits, or `now`. */
  optionalTime(name: string): bigint | 'now' | undefined {
    const value = this.#take(name)
    if (value === undefined || value === 'now') return value
    if (typeof value !== 'string' || !/^-?\d{1,19}$/.test(value)) throw fault(name, 'is nanoseconds, or "now"')
    const time = BigInt(value)
    if (BigInt.asIntN(64, time) !== time) throw fault(name, 'does not fit into 64 bits')
    return time
  }

  /** Bytes in base64; null for none at all. */
  bytes(name: string, longest: number): Uint8Array | undefined {
    const value = this.#take(name)
    if (value === null) return undefined
    const isText = typeof value === 'string' && value.length <= Math.ceil(longest / 3) * 4
    if (!isText || value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
      throw fault(name, 'is base64, or null')
    const bytes = Buffer.from(value, 'base64')
    if (bytes.length > longest) throw fault(name, 'is too long')
    return bytes
  }

  /** Of a member that is an object itself. */
  object(name: string): Members | undefined {
    const value = this.#take(name)
    return value === undefined ? undefined : new Members(requireObject(value, name))
  }

  list(name: string, most: number): readonly unknown[] {
    const value = this.#take(name)
    if (!Array.isArray(value) || value.length > most) throw fault(name, `is a list of at most ${most}`)
    return value
  }

  /** For what is parsed by others. */
  any(name: string): unknown {
    return this.#take(name)
  }

  #string(name: string): string {
    const value = this.#take(name)
    if (typeof value !== 'string') throw fault(name, 'is a text, and needed')
    return value
  }

  #take(name: string): unknown {
    this.#asked.add(name)
    return this.#json[name]
  }

  #absent(name: string): undefined {
    this.#asked.add(name)
    return undefined
  }
}

function fault(name: string, text: string): StorageError {
  return new StorageError('invalid', `the member ${name} ${text}`)
}
