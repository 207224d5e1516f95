/**
 * Extended regular expressions (POSIX.1, section 9.4) for the rules of auth_to_local: the longest of the leftmost matches,
 * in time that grows with the length of the expression and, at worst, the square of that of the text.
 *
 * What it knows: characters, `.`, brackets with ranges and classes, `* + ? {n,m}`, `|`, groups, `^` and `$`.
 */

import { StorageError } from '../../../gateway/core/errors.ts'

export interface Expression {
  matchesWhole(text: string): boolean
  /** With its first match replaced by plain text, or all of them. */
  replace(text: string, by: string, all: boolean): string
}

type Node =
  | { readonly kind: 'one'; readonly holds: (character: string) => boolean }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'row'; readonly parts: readonly Node[] }
  | { readonly kind: 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeated'; readonly part: Node; readonly least: number; readonly most: number }

/** `next` are the places where it goes on from a step; those of `one` after its character. */
interface Step {
  readonly node: Extract<Node, { kind: 'one' | 'start' | 'end' }> | undefined
  next: number[]
}

const maxSource = 256
const maxRepeats = 64
const maxSteps = 2000

/** Throws `invalid` with what is wrong. */
export function compileExpression(source: string): Expression {
  if (source.length > maxSource) throw wrong(`is longer than ${maxSource} characters`)
  const program: Step[] = []
  emit(new Parser(source).parse(), program)
  const endOf = (text: string, from: number) => longest(program, text, from)
  return {
    matchesWhole: (text) => endOf(text, 0) === text.length,
    replace(text, by, all) {
      let done = ''
      let at = 0
      for (let from = 0; from <= text.length; from++) {
        const end = endOf(text, from)
        // Of nothing there is no match right behind another one.
        if (end === undefined || (end === from && from === at && from > 0)) continue
        done += text.slice(at, from) + by
        at = end
        if (!all) break
        // After a match of nothing the next one begins a character later.
        from = Math.max(from, end - 1)
      }
      return done + text.slice(at)
    },
  }
}

/** Where the longest match that begins at `from` ends. */
function longest(program: readonly Step[], text: string, from: number): number | undefined {
  let found: number | undefined
  let places = reach(program, [0], text, from)
  for (let at = from; ; at++) {
    if (places.has(program.length)) found = at
    const character = text[at]
    if (character === undefined || places.size === 0) return found
    const next: number[] = []
    for (const place of places) {
      const { node, next: following } = program[place] ?? { node: undefined, next: [] }
      if (node?.kind === 'one' && node.holds(character)) next.push(...following)
    }
    places = reach(program, next, text, at + 1)
  }
}

/** All places to be in without taking a character. */
function reach(program: readonly Step[], from: readonly number[], text: string, at: number): Set<number> {
  const places = new Set<number>()
  const open = [...from]
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    if (places.has(place)) continue
    places.add(place)
    const step = program[place]
    if (step === undefined || step.node?.kind === 'one') continue
    if (step.node?.kind === 'start' && at !== 0) continue
    if (step.node?.kind === 'end' && at !== text.length) continue
    open.push(...step.next)
  }
  return places
}

function emit(node: Node, program: Step[]): void {
  if (program.length > maxSteps) throw wrong('repeats too much')
  const add = (step: Step['node'], ...next: number[]): Step => {
    const made = { node: step, next: next.length === 0 ? [program.length + 1] : next }
    program.push(made)
    return made
  }
  switch (node.kind) {
    case 'one':
    case 'start':
    case 'end':
      add(node)
      return
    case 'row':
      for (const part of node.parts) emit(part, program)
      return
    case 'choice': {
      const fork = add(undefined)
      fork.next = []
      const ends: Step[] = []
      for (const part of node.parts) {
        fork.next.push(program.length)
        emit(part, program)
        ends.push(add(undefined))
      }
      for (const end of ends) end.next = [program.length]
      return
    }
    case 'repeated': {
      for (let count = 0; count < node.least; count++) emit(node.part, program)
      if (node.most === Number.POSITIVE_INFINITY) {
        const at = program.length
        const fork = add(undefined)
        emit(node.part, program)
        add(undefined, at)
        fork.next = [at + 1, program.length]
        return
      }
      for (let count = node.least; count < node.most; count++) {
        const fork = add(undefined)
        emit(node.part, program)
        fork.next.push(program.length)
      }
    }
  }
}

const classes: Readonly<Record<string, RegExp>> = {
  alnum: /[A-Za-z0-9]/,
  alpha: /[A-Za-z]/,
  digit: /[0-9]/,
  lower: /[a-z]/,
  punct: /[!-/:-@[-`{-~]/,
  upper: /[A-Z]/,
}

class Parser {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  parse(): Node {
    const node = this.#choice(0)
    if (this.#at < this.#source.length) throw wrong('has a ) without a (')
    return node
  }

  #choice(depth: number): Node {
    if (depth > 16) throw wrong('has groups in groups, too deep')
    const parts = [this.#row(depth)]
    while (this.#take('|')) parts.push(this.#row(depth))
    return { kind: 'choice', parts }
  }

  #row(depth: number): Node {
    const parts: Node[] = []
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      parts.push(this.#repeated(this.#atom(depth)))
    }
    return { kind: 'row', parts }
  }

  #repeated(atom: Node): Node {
    let part = atom
    for (;;) {
      if (this.#take('*')) part = { kind: 'repeated', part, least: 0, most: Number.POSITIVE_INFINITY }
      else if (this.#take('+')) part = { kind: 'repeated', part, least: 1, most: Number.POSITIVE_INFINITY }
      else if (this.#take('?')) part = { kind: 'repeated', part, least: 0, most: 1 }
      else if (this.#take('{')) part = { kind: 'repeated', part, ...this.#bounds() }
      else return part
    }
  }

  #bounds(): { readonly least: number; readonly most: number } {
    const [all, first = '', comma, last = ''] = /^(\d{1,3})(,)?(\d{1,3})?\}/.exec(this.#source.slice(this.#at)) ?? []
    if (all === undefined) throw wrong('has a { that is no {n}, {n,} or {n,m}')
    this.#at += all.length
    const least = Number(first)
    const most = comma === undefined ? least : last === '' ? Number.POSITIVE_INFINITY : Number(last)
    const largest = most === Number.POSITIVE_INFINITY ? least : most
    if (largest > maxRepeats || most < least) throw wrong(`repeats more than ${maxRepeats} times, or less than no time`)
    return { least, most }
  }

  #atom(depth: number): Node {
    const character = this.#next()
    switch (character) {
      case '(': {
        const node = this.#choice(depth + 1)
        if (!this.#take(')')) throw wrong('has a ( without a )')
        return node
      }
      case '.':
        return { kind: 'one', holds: () => true }
      case '^':
        return { kind: 'start' }
      case '$':
        return { kind: 'end' }
      case '[':
        return this.#bracket()
      case '*':
      case '+':
      case '?':
      case '{':
        throw wrong(`has a ${character} that follows nothing`)
      case '\\': {
        const plain = this.#next()
        // Of a letter or a digit POSIX leaves the meaning open, and other languages have one.
        if (/[A-Za-z0-9]/.test(plain)) throw wrong('has a \\ before a letter or digit')
        return { kind: 'one', holds: (each) => each === plain }
      }
      default:
        return { kind: 'one', holds: (each) => each === character }
    }
  }

  #bracket(): Node {
    const isNegated = this.#take('^')
    const tests: Array<(character: string) => boolean> = []
    do {
      const [all, name = ''] = /^\[:([a-z]+):\]/.exec(this.#source.slice(this.#at)) ?? []
      if (all !== undefined) {
        const known = classes[name]
        if (known === undefined) throw wrong('has a class in brackets that is not known')
        this.#at += all.length
        tests.push((each) => known.test(each))
        continue
      }
      const first = this.#next()
      if (this.#peek() === '-' && this.#source[this.#at + 1] !== ']') {
        this.#at++
        const last = this.#next()
        if (last < first) throw wrong('has a range in brackets that ends before it begins')
        tests.push((each) => each >= first && each <= last)
      } else tests.push((each) => each === first)
    } while (this.#peek() !== ']')
    this.#at++
    return { kind: 'one', holds: (each) => tests.some((test) => test(each)) !== isNegated }
  }

  #peek(): string | undefined {
    return this.#source[this.#at]
  }

  #next(): string {
    const character = this.#source[this.#at++]
    if (character === undefined) throw wrong('ends too early')
    return character
  }

  #take(character: string): boolean {
    if (this.#source[this.#at] !== character) return false
    this.#at++
    return true
  }
}

function wrong(text: string): StorageError {
  return new StorageError('invalid', `the expression ${text}`)
}
