/** The last step of an upload, and what is told of it in whatever protocol it was sent. */

import type { Path } from '../core/path.ts'
import type { Conditions } from '../core/storage.ts'
import type { UploadState } from '../core/uploads.ts'
import type { Exchange } from '../http/exchange.ts'
import { writtenAnswer } from '../http/writing.ts'
import { readNote } from './note.ts'

/** Milliseconds. */
const forgetting = 30_000

export interface UploadsOptions {
  /**
   * What a request that is going to write `x.path` makes a condition of it; submits the tokens of its If header (RFC 4918,
   * section 10.4).
   */
  readonly conditions: (x: Exchange) => Promise<Conditions | undefined>
}

/** From here on the request is about the file at `path`. */
export function aim(x: Exchange, path: Path): void {
  x.path = path
  x.action = 'create'
}

/** Tokens of locks come with every request that they are needed for. */
export async function submitLocks({ conditions }: UploadsOptions, x: Exchange, { path }: UploadState): Promise<void> {
  aim(x, path)
  if (x.request.headers.if !== undefined) await conditions(x)
}

/** Makes the file, or says once more that it was made: what PUT would have answered. Rejects as `finish` of the uploads. */
export async function finishUpload(
  x: Exchange,
  state: UploadState,
): Promise<{ readonly status: 201 | 204; readonly headers: string[] }> {
  const written = await x.door.storage.uploads.finish(x.call, state.id)
  return writtenAnswer(x, state.path, written, readNote(state))
}

/** Of an upload that nobody comes back to. Its caller may be gone already. */
export async function forgetUpload(x: Exchange, id: string): Promise<void> {
  try {
    await x.door.storage.uploads.remove({ ...x.call, signal: AbortSignal.timeout(forgetting) }, id)
  } catch {
    // Gone already, or to be swept: what happened before is what counts.
  }
}
