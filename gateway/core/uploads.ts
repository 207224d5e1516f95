/**
 * Uploads that survive what carries them: made once, filled by as many appends as it takes, through whatever worker
 * process, and finished in the one step in which every upload becomes visible.
 *
 * Where the back end keeps a draft for as long as it takes, the bytes go straight to where they will be; elsewhere they
 * wait in a spool of the gateway's own. What is known of an upload is in the state store.
 */

import type { Readable } from 'node:stream'
import type { Digests } from '../../backends/backend.ts'
import type { Call } from './call.ts'
import { StorageError } from './errors.ts'
import type { Path } from './path.ts'
import type { WriteOptions, Written } from './storage.ts'

/** As for `write`, and as it is told there. `size` is the length of the whole, where it is known already. */
export interface NewUpload extends WriteOptions {
  /** Seconds since 1970 after which it need not be kept; never later than the gateway's own bound, which is the default. */
  readonly expires?: number
  /** What the front end wants to be told again, as it is: at most `maxUploadNote` bytes, no secret. */
  readonly note?: string
}

/** Bytes of a `NewUpload.note`. */
export const maxUploadNote = 8192

export interface UploadState {
  readonly id: string
  /** What it will be. */
  readonly path: Path
  /** How many bytes are here to stay: the next append begins there. */
  readonly offset: number
  /** Bytes of the whole; undefined as long as nobody has told. */
  readonly length: number | undefined
  /** Seconds since 1970. */
  readonly created: number
  /** Seconds since 1970: from then on it is gone. */
  readonly expires: number
  /** It is finished, and the file is there; only `state`, `finish` and `remove` still know it. */
  readonly complete: boolean
  readonly note: string | undefined
  /** `Principal.user` of who made it. */
  readonly user: string | undefined
}

export interface AppendOptions {
  /** Bytes of the whole, told only now. `invalid` where it contradicts what was told before, or is less than is here. */
  readonly length?: number
  /** What the sender says of the bytes of this append: they count as a whole or not at all (`bad-checksum`). */
  readonly digest?: Digests
  /** Without a digest also: what the body ends in an error counts as nothing. The body may so check itself. */
  readonly whole?: boolean
  /** Told every now and then how many bytes of the upload are here to stay, in a long body that has not ended. */
  readonly progress?: (offset: number) => void
}

/**
 * Uploads by id. An id is of no use to any other principal, nor with a credential that does not reach its path: both
 * are told `not-found`, as is everybody of one that has expired (its owner by the rule `expired`). Rights, locks and
 * conditions are decided when it is made, again with each append, and when it is finished.
 */
export interface UploadOperations {
  /** Whether uploads can be kept at all; without it everything but `list` is `unsupported`. */
  readonly available: boolean
  /** Bytes that one upload of this caller may have. */
  largest(call: Call): number
  /** Seconds that an upload is kept. */
  readonly lifetime: number
  /**
   * Throws what `write` throws before its body, `busy` where the caller has too many, or too many bytes in them, and
   * `unauthenticated` for callers without a credential.
   */
  create(call: Call, path: Path, options?: NewUpload): Promise<UploadState>
  /** `settled`: an append that is still running is cut first, so that what is told here stays so. */
  state(call: Call, id: string, options?: { readonly settled?: boolean }): Promise<UploadState>
  /** Tells the length of the whole, as `AppendOptions.length`. */
  announce(call: Call, id: string, length: number): Promise<UploadState>
  /**
   * Adds the bytes of `body` at `offset`. Throws OffsetError unless that is where the upload ends. One append at a
   * time, over all processes: an older one is cut, and is told `busy`; where it does not end soon this one is `busy`.
   * What came of a body that broke off (`cancelled`, or what the body failed with) is kept and counts. The body is
   * read until its end, or left where it is when the append fails.
   */
  append(call: Call, id: string, offset: number, body: Readable, options?: AppendOptions): Promise<UploadState>
  /**
   * Makes the file. Throws `invalid` where bytes are missing, `bad-checksum` where they are not what was expected, and
   * then the upload is gone; what else it throws leaves the upload as it is, to be finished later. Once finished it
   * says the same again for a while.
   */
  finish(call: Call, id: string): Promise<Written>
  /** Leaves no trace of it; of a finished one only the file. An append that is still running is cut first. */
  remove(call: Call, id: string): Promise<void>
  /** Unfinished ones of the caller, to administrators those of all; the newest first, `maxListedUploads` at most. */
  list(call: Call): Promise<readonly UploadState[]>
}

export const maxListedUploads = 10_000

/** The upload does not end where the sender thinks. */
export class OffsetError extends StorageError {
  readonly state: UploadState

  constructor(state: UploadState) {
    super('precondition', 'the upload does not end at this offset', { path: state.path })
    this.state = state
  }
}

/** Where nothing outlives a call. */
export const noUploads: UploadOperations = {
  available: false,
  lifetime: 0,
  largest: () => 0,
  create: refuse,
  state: refuse,
  announce: refuse,
  append: refuse,
  finish: refuse,
  remove: refuse,
  list: async () => [],
}

async function refuse(): Promise<never> {
  throw new StorageError('unsupported', 'this gateway keeps no uploads')
}
