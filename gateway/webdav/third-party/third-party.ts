/** COPY between this gateway and another server, by order of a third one (WLCG HTTP-TPC). */

import type { Digests } from '../../../backends/backend.ts'
import { StorageError } from '../../core/errors.ts'
import { ownerOf } from '../../http/admission.ts'
import { parseConditions } from '../../http/conditions.ts'
import { parseWanted } from '../../http/digests.ts'
import type { Exchange } from '../../http/exchange.ts'
import type { ThirdPartyDoor } from '../../http/options.ts'
import type { BytesReading } from '../../http/send.ts'
import { common } from './checksums.ts'
import { answerWithMarkers, markerPeriod } from './markers.ts'
import { type Order, parseOrder } from './order.ts'
import { Progress } from './progress.ts'
import { type Copying, pull } from './pull.ts'
import { push } from './push.ts'
import { Remote } from './remote.ts'
import { Slots } from './slots.ts'
import { type TargetOptions, Targets } from './targets.ts'

export interface ThirdPartyOptions extends TargetOptions {
  /** PEM certificates trusted instead of the usual ones. */
  readonly ca?: string | undefined
  /** At once, in this process. */
  readonly transfers: number
  readonly transfersPerPrincipal: number
  /** Milliseconds for an answer of the other server to begin. */
  readonly answerTimeout: number
  /** Milliseconds between markers; 5,000 by default. */
  readonly markerPeriod?: number
}

/** What these copies of one door share. It keeps nothing open between them. */
export class ThirdParty implements ThirdPartyDoor {
  readonly #remote: Remote
  readonly #slots: Slots
  readonly #period: number

  /** Throws `invalid` for hosts and networks that are none. */
  constructor(options: ThirdPartyOptions) {
    const { ca, answerTimeout, transfers, transfersPerPrincipal } = options
    this.#remote = new Remote({ targets: new Targets(options), ca, answerTimeout })
    this.#slots = new Slots({ all: transfers, ofOne: transfersPerPrincipal })
    this.#period = options.markerPeriod ?? markerPeriod
  }

  /**
   * Answers a COPY whose Source or Destination is another server. Throws before the first byte of the answer: `invalid`
   * for what makes no sense, `unauthenticated` for anonymous callers, `denied` for a server that is not listed, `busy`,
   * and what Storage says of the path.
   */
  async copy(x: Exchange): Promise<void> {
    const order = parseOrder(x.request)
    x.action = order.direction === 'pull' ? 'create' : 'read'
    if (x.hasBody) throw new StorageError('invalid', 'a COPY has no body')
    if (x.slash) throw new StorageError('is-directory', 'only files are copied from and to other servers')
    // Whoever may make this machine talk to others is known by name.
    if (x.principal.user === undefined) throw new StorageError('unauthenticated', 'a credential is needed')
    const release = this.#slots.take(ownerOf(x.principal, x.from))
    try {
      await (order.direction === 'pull' ? this.#pull(x, order) : this.#push(x, order))
    } finally {
      release()
    }
  }

  async #pull(x: Exchange, order: Order): Promise<void> {
    const { headers } = x.request
    const conditions = parseConditions(headers, 'PUT')
    const writing = await x.door.storage.write(x.call, x.path, {
      digests: parseWanted(headers)?.kinds ?? [],
      createParents: true,
      conditions: { ...conditions, ...(!order.overwrite && { ifNoneMatch: '*' as const }) },
    })
    const attempt = async <T>(work: () => T | Promise<T>): Promise<T> => {
      try {
        return await work()
      } catch (thrown) {
        const error = x.failureOf(thrown)
        await writing.discard(error)
        throw error
      }
    }
    await attempt(() => this.#remote.check(order))
    await this.#report(x, order, (copying) => attempt(() => pull(copying, writing)))
  }

  async #push(x: Exchange, order: Order): Promise<void> {
    const reading = await x.door.storage.read(x.call, x.path)
    if (reading.kind !== 'bytes') throw new StorageError('is-directory', 'only files are copied to other servers')
    const attempt = async (work: () => void | Promise<void>, bytes: () => number): Promise<void> => {
      try {
        await work()
      } catch (thrown) {
        const error = x.failureOf(thrown)
        await reading.close({ bytes: bytes(), error })
        throw error
      }
    }
    await attempt(
      () => this.#remote.check(order),
      () => 0,
    )
    await this.#report(x, order, async (copying) => {
      const { progress } = copying
      await attempt(
        async () => push(copying, reading, await keptDigests(x, reading)),
        () => progress.bytes,
      )
      await reading.close({ bytes: progress.bytes })
    })
  }

  async #report(x: Exchange, order: Order, work: (copying: Copying) => Promise<void>): Promise<void> {
    const progress = new Progress()
    const { signal } = x.call
    const { stallTimeout, log } = x.door
    const copying = { order, remote: this.#remote, progress, signal, stallTimeout }
    const error = await answerWithMarkers(x, progress, () => work(copying), this.#period)
    // A bug of ours is to be seen as one.
    if (error?.code === 'internal') x.failed = error
    const line = {
      call: x.id,
      direction: order.direction,
      remote: `${order.remote.protocol}//${order.remote.host}`,
      bytes: progress.bytes,
      ms: Math.round(performance.now() - x.started),
      outcome: error?.code ?? 'ok',
      ...(error && { because: error.message }),
    }
    log.info(line, 'third-party copy')
  }
}

/** Of the very version that is being read. What cannot be had is computed on the way. */
async function keptDigests(x: Exchange, { entry }: BytesReading): Promise<Digests> {
  const { storage } = x.door
  try {
    const digests = await storage.checksum(x.call, x.path, [common], { keptOnly: true })
    const now = await storage.stat(x.call, x.path)
    return now.version === entry.version ? digests : {}
  } catch (error) {
    if (error instanceof StorageError) return {}
    throw error
  }
}
