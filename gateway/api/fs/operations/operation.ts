/** What an operation is. */

import type { Action } from '../../../../acl/needs.ts'
import type { Call } from '../../../core/call.ts'
import type { Path } from '../../../core/path.ts'
import type { Asked } from '../context.ts'
import type { Members } from '../members.ts'

/** JSON that is made already. */
export class JsonText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** One operation under way. */
export interface Doing extends Asked {
  /** Aborts when the caller goes away; of one that is not to be done twice, when the session ends. */
  readonly call: Call
  /** The request has a name, by which the answer can be asked for again. */
  readonly isNamed: boolean
}

export interface Operation {
  /** For the link to `explain`. */
  readonly action?: Action
  /** Doing it twice is not the same as doing it once: the answer is kept for a request that has a name. */
  readonly once?: true
  /** Reads what it needs and gives what is to be done. Throws `invalid`. */
  prepare(members: Members, doing: Doing): () => Promise<object>
}

/** `path` is where problems point to. */
export function at(doing: Doing, path: Path): Path {
  doing.x.path = path
  return path
}
