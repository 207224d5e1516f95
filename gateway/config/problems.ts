/** What is wrong with a configuration, and where. */

import { type Document, isMap, isPair, isScalar, type LineCounter, type Node } from 'yaml'
import { StorageError } from '../core/errors.ts'

export type KeyPath = readonly (string | number)[]

export interface Problem {
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  /** Such as `mounts[0].backend.root`; empty for the file as a whole. */
  readonly key: string
  readonly text: string
}

/** A configuration that cannot be used. The message has one line for each problem, `file:line:column: key: text`. */
export class ConfigError extends StorageError {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[], cause?: unknown) {
    super('invalid', problems.map(lineOf).join('\n'), { cause })
    this.name = 'ConfigError'
    this.problems = problems
  }
}

function lineOf({ file, line, column, key, text }: Problem): string {
  return `${file}:${line}:${column}: ${key === '' ? '' : `${key}: `}${text}`
}

/** Finds the lines of one parsed file. */
export class Places {
  readonly #file: string
  readonly #document: Document.Parsed
  readonly #lines: LineCounter

  constructor(file: string, document: Document.Parsed, lines: LineCounter) {
    this.#file = file
    this.#document = document
    this.#lines = lines
  }

  /** At the value of `path`, or at the nearest section that holds it when it is not there. */
  problem(path: KeyPath, text: string): Problem {
    return this.#at(path, this.#offsetOf(path), text)
  }

  /** Whether the file says anything at `path`. */
  isGiven(path: KeyPath): boolean {
    return this.#nodeAt(path) !== undefined
  }

  /** At the key itself rather than at its value. */
  keyProblem(section: KeyPath, key: string, text: string): Problem {
    const node = this.#nodeAt(section)
    const pair = isMap(node) ? node.items.find((item) => isPair(item) && nameOf(item.key) === key) : undefined
    const offset = (pair?.key as Node | undefined)?.range?.[0] ?? this.#offsetOf(section)
    return this.#at([...section, key], offset, text)
  }

  /** At a character of the text; for what the YAML parser has to say. */
  textProblem(offset: number, text: string): Problem {
    return this.#at([], offset, text)
  }

  #at(path: KeyPath, offset: number, text: string): Problem {
    const { line, col } = this.#lines.linePos(offset)
    return { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1), key: keyText(path), text }
  }

  #offsetOf(path: KeyPath): number {
    for (let depth = path.length; depth >= 0; depth--) {
      const offset = this.#nodeAt(path.slice(0, depth))?.range?.[0]
      if (offset !== undefined) return offset
    }
    return 0
  }

  #nodeAt(path: KeyPath): Node | undefined {
    if (path.length === 0) return this.#document.contents ?? undefined
    return this.#document.getIn(path, true) as Node | undefined
  }
}

function nameOf(key: unknown): unknown {
  return isScalar(key) ? key.value : key
}

function keyText(path: KeyPath): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '')
}

/** The known word that was probably meant; undefined when none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const most = Math.min(3, Math.ceil(word.length / 3))
  let best: string | undefined
  let bestDistance = most + 1
  for (const candidate of known) {
    const distance = distanceOf(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

/** Levenshtein's: letters to insert, remove or change. Words of a file are short, long ones are cut. */
function distanceOf(a: string, b: string): number {
  const [from, to] = [a.slice(0, 64), b.slice(0, 64)]
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const change = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, change))
    }
    row = next
  }
  return row[to.length] ?? 0
}

/** A rule between several keys that does not hold. */
export interface BrokenRule {
  /** The value to point at. */
  readonly path: KeyPath
  readonly text: string
}
