/** Files that are given back to the gateway: many with one request, since nobody waits for it. */

import { StorageError } from '../../../gateway/core/errors.ts'
import { SessionOver } from './failures.ts'
import type { Link } from './link.ts'
import type { Opened } from './opening.ts'
import type { Session } from './session.ts'

/** Milliseconds: what is told at closing has to be told soon, or the lease does it. */
const farewell = 5000
/** Milliseconds that others are waited for, and how many there are in one request; the gateway takes 256. */
const gathering = 50
const most = 128
/** As many as a session has open by far. What does not fit is closed with the session. */
const mostKept = 16_384

const ofLinks = new WeakMap<Link, Releases>()

/**
 * Gives back what nobody will use: the gateway would keep it for as long as the session lasts. A draft is gone when this
 * resolves, everything else is a moment later. Never fails.
 */
export async function release(link: Link, { session, handle, kind }: Opened): Promise<void> {
  if (session !== link.current) return
  if (kind !== 'draft') {
    const releases = ofLinks.get(link) ?? new Releases(link)
    ofLinks.set(link, releases)
    releases.add(session, handle)
    return
  }
  try {
    await link.op('release', { handle }, { bound: session, limit: farewell })
  } catch {
    // The gateway lets go of it with the session.
  }
}

/**
 * All of them are given back when this resolves, if that can be done: NFS keeps a name for what is removed while it is open,
 * and with that the directory. Never fails.
 */
export async function released(link: Link): Promise<void> {
  await ofLinks.get(link)?.all()
}

class Releases {
  readonly #link: Link
  /** Whose handles they are: another one knows other files by the same names. */
  #session: Session | undefined
  #handles: string[] = []
  #timer: NodeJS.Timeout | undefined
  #underWay: Promise<void> | undefined

  constructor(link: Link) {
    this.#link = link
  }

  add(session: Session, handle: string): void {
    if (this.#session !== session) this.#handles = []
    this.#session = session
    if (this.#handles.length < mostKept) this.#handles.push(handle)
    this.#arrange()
  }

  async all(): Promise<void> {
    await this.#underWay
    for (let left = Number.POSITIVE_INFINITY; this.#handles.length > 0 && this.#handles.length < left; ) {
      left = this.#handles.length
      await this.#send()
    }
  }

  /** One request at a time: what comes meanwhile goes with the next one. */
  #arrange(): void {
    if (this.#underWay || this.#handles.length === 0) return
    if (this.#handles.length >= most) void this.#send()
    else this.#timer ??= setTimeout(() => void this.#send(), gathering).unref()
  }

  #send(): Promise<void> {
    this.#underWay ??= this.#sendOnce().then((isDone) => {
      this.#underWay = undefined
      if (isDone) this.#arrange()
    })
    return this.#underWay
  }

  /** Never fails. */
  async #sendOnce(): Promise<boolean> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const session = this.#session
    if (session === undefined || session !== this.#link.current) return false
    const handles = this.#handles.splice(0, most)
    if (await this.#isDone(session, handles)) return true
    if (this.#session === session) this.#handles.push(...handles)
    this.#timer = setTimeout(() => void this.#send(), farewell).unref()
    return false
  }

  /** False where it is worth while to tell again: nobody else will, as long as the session lasts. */
  async #isDone(session: Session, handles: readonly string[]): Promise<boolean> {
    try {
      await this.#link.op('release', { handles }, { bound: session, limit: farewell })
      return true
    } catch (error) {
      const { code } = StorageError.from(error)
      return error instanceof SessionOver || !['unavailable', 'timeout', 'busy'].includes(code)
    }
  }
}
