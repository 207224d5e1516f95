/** What an upload keeps for its last answer, which may come in another connection and from another process. */

import type { UploadState } from '../core/uploads.ts'
import type { Exchange } from '../http/exchange.ts'
import { type Telling, tellingOf } from '../http/writing.ts'

export interface Note extends Telling {
  /** Upload-Metadata as it was sent. */
  readonly metadata: string | undefined
}

/** For `NewUpload.note`: what is told, and in a line of its own, as it is, `metadata`, which is no more than a header can hold. */
export function noteOf({ request: { headers } }: Exchange, metadata?: string): string {
  const told = JSON.stringify(tellingOf(headers))
  return metadata === undefined ? told : `${told}\n${metadata}`
}

/** Of an upload that another door made there is none. */
export function readNote({ note }: UploadState): Note {
  if (note === undefined) return { wanted: undefined, timed: false, metadata: undefined }
  const [told = '', metadata] = note.split('\n')
  // Only ever written above.
  return { wanted: undefined, ...(JSON.parse(told) as Pick<Note, 'timed'>), metadata }
}
