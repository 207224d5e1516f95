/**
 * The doors of the matrix: how each asks for an action, or why it cannot. A new door is one more `MatrixDoor` in the
 * list of the test, and its own column of what it cannot express.
 */

import type { SigningKey } from '../s3-door/signing.ts'
import { type Caller, type MatrixAction, matrixActions } from './oracle.ts'

/** A way in, or why there is none. */
export type Way<T> = { readonly is: T } | { readonly not: string }

export interface MatrixIdentity {
  /** Names its part of the namespace too. */
  readonly name: string
  readonly caller: Caller
  /** What it sends with requests of HTTP. */
  readonly http: Way<Readonly<Record<string, string>>>
  /** What it signs with; undefined where it signs nothing. */
  readonly s3: Way<SigningKey | undefined>
}

/** One question: this identity, this ACL, this action. */
export interface Cell {
  readonly identity: MatrixIdentity
  /** What is asked about. */
  readonly path: string
  /** Something in a place where everybody may do all: what is moved to `path`, or what `path` is moved to. */
  readonly free: string
}

export interface Attempt {
  /** What lies at `path` beforehand. */
  readonly object: 'file' | 'directory' | 'nothing'
  /** What lies at `free` beforehand. */
  readonly source?: 'file' | 'directory'
  /** Decisions about `path` that must all be yes; the action alone if absent. */
  readonly takes?: readonly MatrixAction[]
  /** A decision about `free`. */
  readonly beside?: MatrixAction
  /** Whether it was let do it. Throws for any answer that is neither yes nor no. */
  run(cell: Cell): Promise<boolean>
}

/** `{ not }`: why the door has no such thing. */
export type Expressed = Attempt | { readonly not: string }

export interface MatrixDoor {
  /** Begins the names of its objects too. */
  readonly name: string
  /** It only tells what would be. */
  readonly changesNothing?: true
  /** Why this identity cannot come in here. */
  closedTo(identity: MatrixIdentity): string | undefined
  readonly attempts: Readonly<Record<MatrixAction, Expressed>>
  /** Further ways of asking for some of them. */
  readonly others?: readonly OtherWay[]
}

export interface OtherWay {
  /** Names its objects. */
  readonly name: string
  readonly action: MatrixAction
  readonly attempt: Attempt
  /** Why this identity cannot ask so, though it comes in here. */
  closedTo?(identity: MatrixIdentity): string | undefined
}

/** All that a door has words for. */
export function waysOf({ attempts, others = [] }: MatrixDoor): readonly OtherWay[] {
  const usual = matrixActions.flatMap((action) => {
    const attempt = attempts[action]
    return 'not' in attempt ? [] : [{ name: action, action, attempt }]
  })
  return [...usual, ...others]
}

/** Those of them that are open to an identity. */
export function waysFor(door: MatrixDoor, identity: MatrixIdentity): readonly OtherWay[] {
  if (door.closedTo(identity) !== undefined) return []
  return waysOf(door).filter((way) => way.closedTo?.(identity) === undefined)
}

export function isClosed<T>(way: Way<T>): string | undefined {
  return 'not' in way ? way.not : undefined
}
