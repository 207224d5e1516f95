/** What the gateway says when a session begins. */

import { list, members, strange, text } from '../members.ts'

/** The version of the protocol that is spoken here. */
export const version = 1

/** The gateway keeps open files, locks and listings under its id, in the memory of one of its processes. */
export interface Session {
  readonly id: string
  /** The process that knows it. */
  readonly worker: string
  /** How many processes there are. */
  readonly workers: number
  /** Seconds without a request after which it ends. */
  readonly lease: number
  readonly user: string | undefined
  readonly largest: { readonly read: number; readonly write: number }
  /** Entries in a page of a listing. */
  readonly page: number
  /** Names the start of the gateway's machine; undefined where it does not tell. */
  readonly boot: string | undefined
}

const kibibyte = 1024
const maxWorkers = 1024
const maxLease = 86_400

/** Throws `unavailable` for what is no such answer. */
export function readSession(value: unknown): Session {
  const at = members(value)
  const largest = members(at.largest)
  if (at.version !== version) throw strange('version')
  return {
    id: name(at.session, 'session'),
    worker: name(at.worker, 'worker'),
    workers: whole(at.workers, 'workers', 1, maxWorkers),
    lease: whole(at.lease, 'lease', 1, maxLease),
    user: at.user === null || at.user === undefined ? undefined : text(at.user, 'user'),
    largest: {
      read: whole(largest.read, 'largest', kibibyte, 256 * kibibyte ** 2),
      write: whole(largest.write, 'largest', kibibyte, 256 * kibibyte ** 2),
    },
    page: whole(at.page, 'page', 1, 1_000_000),
    boot: at.boot === null || at.boot === undefined ? undefined : name(at.boot, 'boot'),
  }
}

/** Goes into headers and queries as it is. */
export function name(value: unknown, what: string): string {
  const read = text(value, what)
  if (!/^[A-Za-z0-9._~-]{1,200}$/.test(read)) throw strange(what)
  return read
}

/** A whole number between these two. */
export function whole(value: unknown, what: string, least = 0, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most) throw strange(what)
  return value
}

/** Of an answer that has to be JSON. */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch (cause) {
    throw strange('JSON', cause)
  }
}

/** Texts of such an answer. */
export function names(value: unknown, what: string): readonly string[] {
  return list(value, what).map((each) => text(each, what))
}
