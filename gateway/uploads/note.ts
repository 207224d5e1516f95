/** What an upload keeps for its last answer, which may come in another connection and from another process. */

import type { UploadState } from '../core/uploads.ts'
import type { Exchange } from '../http/exchange.ts'
import { type Telling, tellingOf } from '../http/writing.ts'

export interface Note extends Telling {
  /** Upload-Metadata as it was sent. */
  readonly metadata: string | undefined
}

/** For `NewUpload.note`. */
export function noteOf({ request: { headers } }: Exchange): string {
  const metadata = headers['upload-metadata']
  const note: Note = { ...tellingOf(headers), metadata: metadata === undefined ? undefined : String(metadata) }
  return JSON.stringify(note)
}

/** Of an upload that another door made there is none. */
export function readNote({ note }: UploadState): Note {
  if (note === undefined) return { wanted: undefined, timed: false, metadata: undefined }
  // Only ever written above.
  return { wanted: undefined, metadata: undefined, ...(JSON.parse(note) as Pick<Note, 'timed'>) }
}
