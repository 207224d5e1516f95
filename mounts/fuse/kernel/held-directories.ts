/** Directories that the kernel keeps locked until a request in them is answered, which may take long. */

import type { Pending } from './pending.ts'
import { opcode } from './protocol.ts'

const inDirectory: ReadonlySet<number> = new Set([
  ...[opcode.lookup, opcode.create, opcode.mknod, opcode.mkdir, opcode.symlink, opcode.link, opcode.tmpfile],
  ...[opcode.unlink, opcode.rmdir, opcode.readdir, opcode.readdirplus],
])
/** In a second one, too, which the header does not tell. */
const inTwo: ReadonlySet<number> = new Set([opcode.rename, opcode.rename2])

export class HeldDirectories {
  /** The oldest first. */
  readonly #requests = new Map<number, Set<Pending>>()
  readonly #inTwo = new Set<Pending>()

  /** Whether a request in it has been there for a tick and more. `now`: in the session's ticks. */
  has(directory: number, now: number): boolean {
    return isOld(this.#inTwo, now) || isOld(this.#requests.get(directory), now)
  }

  /** A request has come. */
  hold(pending: Pending): void {
    const { header, nodeid } = pending
    if (inTwo.has(header.opcode)) this.#inTwo.add(pending)
    if (!inDirectory.has(header.opcode)) return
    const requests = this.#requests.get(nodeid)
    if (requests) requests.add(pending)
    else this.#requests.set(nodeid, new Set([pending]))
  }

  /** It was answered. */
  letGo(pending: Pending): void {
    this.#inTwo.delete(pending)
    const requests = this.#requests.get(pending.nodeid)
    if (requests?.delete(pending) && requests.size === 0) this.#requests.delete(pending.nodeid)
  }
}

function isOld(requests: ReadonlySet<Pending> | undefined, now: number): boolean {
  const [oldest] = requests ?? []
  return oldest !== undefined && oldest.since < now
}
