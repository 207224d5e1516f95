/**
 * Looking up accounts at an account linking service with the interface of ALISE (its documentation, `api-endpoints.md`):
 * there people link the identities of issuers to accounts of sites themselves.
 *
 * Its key goes in the address of each request, so that no address is ever told to a log or in an error.
 */

import { createHash } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { LRUCache } from 'lru-cache'
import { StorageError } from '../../../gateway/core/errors.ts'
import { isObject, type JsonObject, member, parseObject } from '../../json.ts'
import { readAnchors } from '../fetch.ts'
import { createGate } from '../gate.ts'
import { fetchDeadline } from '../limits.ts'
import type { AliseOptions } from '../options.ts'

/** Seconds for which an answer is believed: that there is an account, and that there is none. */
const lifetimes = { positive: 600, negative: 60 }
/** Milliseconds in which a service that has just failed is not asked again. */
const pause = 2000
const maxAnswer = 64 * 1024

interface Known {
  readonly account: string | undefined
  readonly until: number
}

/** One service, asked by one process. */
export class Alise {
  readonly #options: AliseOptions
  readonly #now: () => number
  readonly #known = new LRUCache<string, Known>({ max: 10_000 })
  /** Questions on their way: who asks the same meanwhile is given the same answer. */
  readonly #asking = new Map<string, Promise<string | undefined>>()
  readonly #gate = createGate({ running: 8, waiting: 256 })
  #failed: { readonly until: number; readonly error: StorageError } | undefined

  constructor(options: AliseOptions, now: () => number) {
    this.#options = options
    this.#now = now
  }

  /** What the service is called in explanations. */
  get name(): string {
    return `the account linking service for ${this.#options.site}`
  }

  /** Whether it is asked about the issuer of this short name. */
  isFor(name: string): boolean {
    return this.#options.issuers.includes(name)
  }

  /** The account that is linked to the identity; undefined if there is none. Throws `unavailable` when that cannot be known. */
  async find(issuer: string, subject: string): Promise<string | undefined> {
    // As a part of a path it would lead elsewhere, however it is written.
    if (/^\.{1,2}$/.test(subject)) return undefined
    const key = JSON.stringify([issuer, subject])
    const known = this.#known.get(key)
    if (known !== undefined && this.#now() < known.until) return known.account
    const running = this.#asking.get(key)
    if (running !== undefined) return running
    const asked = this.#gate(() => this.#ask(issuer, subject)).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asked)
    const account = await asked
    const lifetime = account === undefined ? lifetimes.negative : lifetimes.positive
    this.#known.set(key, { account, until: this.#now() + lifetime * 1000 })
    return account
  }

  async #ask(issuer: string, subject: string): Promise<string | undefined> {
    if (this.#failed !== undefined && this.#now() < this.#failed.until) throw this.#failed.error
    try {
      const { ca } = this.#options
      const anchors = ca === undefined ? undefined : await readAnchors(ca)
      const { status, body } = await get(this.#options, this.#pathOf(issuer, subject), anchors)
      const account = accountIn(status, body, { issuer, subject })
      this.#failed = undefined
      return account
    } catch (thrown) {
      const error = thrown instanceof StorageError ? thrown : unavailable('its answer cannot be read')
      this.#failed = { until: this.#now() + pause, error }
      throw error
    }
  }

  #pathOf(issuer: string, subject: string): string {
    const { form, site, apiKey, url } = this.#options
    const twice = (text: string) => (form === 'encoded-twice' ? encode(encode(text)) : encode(text))
    const who = form === 'sha1' ? createHash('sha1').update(issuer).digest('hex') : twice(issuer)
    const base = new URL(url).pathname.replace(/\/+$/, '')
    const place = `${base}/api/v1/target/${encode(site)}/mapping/issuer/${who}/user/${twice(subject)}`
    return `${place}?apikey=${encode(apiKey.reveal())}`
  }
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`)
}

function get(
  { url }: AliseOptions,
  path: string,
  ca: Buffer | undefined,
): Promise<{ readonly status: number; readonly body: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly status: number; readonly body: Buffer }>()
  // What the request threw may hold its address, so that only its code is told.
  const fail = (cause: unknown): void => {
    const { code } = cause as { readonly code?: unknown }
    const isCode = typeof code === 'string' && /^[A-Z0-9_]{1,60}$/.test(code)
    reject(cause instanceof StorageError ? cause : unavailable(`it cannot be reached (${isCode ? code : 'unknown'})`))
  }
  const { protocol, hostname, port } = new URL(url)
  const settings = {
    hostname: hostname.replace(/^\[|\]$/g, ''),
    ...(port !== '' && { port }),
    path,
    // A connection of its own: nothing is left open between questions.
    agent: false,
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(fetchDeadline * 1000),
    ...(ca !== undefined && { ca }),
  }
  ;(protocol === 'https:' ? https : http)
    .get(settings, (response) => void read(response).then(resolve, fail))
    .on('error', fail)
  return promise
}

/** Redirects are not followed: they would carry the key elsewhere. */
async function read(response: http.IncomingMessage): Promise<{ readonly status: number; readonly body: Buffer }> {
  const chunks: Buffer[] = []
  let size = 0
  // Leaving the loop destroys the response, so a huge answer is not read to its end.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxAnswer) throw unavailable(`its answer is larger than ${maxAnswer} bytes`)
    chunks.push(chunk)
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) }
}

function accountIn(
  status: number,
  body: Buffer,
  identity: { readonly issuer: string; readonly subject: string },
): string | undefined {
  const { object } = parseObject(body)
  if (object === undefined) throw unavailable(`its answer of status ${status} is not a JSON object`)
  if (status === 401 && saysNotMapped(object)) return undefined
  if (status !== 200) throw unavailable(`it answers with status ${status}`)
  const internal = member(object, 'internal')
  const username = isObject(internal) ? member(internal, 'username') : undefined
  if (typeof username !== 'string') throw unavailable('its answer names no account')
  // It decodes what it is asked: the answer might be about somebody whose subject reads alike then.
  if (!isAbout(object, identity)) throw unavailable('its answer is about somebody else')
  return username
}

function saysNotMapped(answer: JsonObject): boolean {
  const detail = member(answer, 'detail')
  return Array.isArray(detail) && detail.some((each) => isObject(each) && member(each, 'type') === 'not-mapped')
}

function isAbout(answer: JsonObject, { issuer, subject }: { readonly issuer: string; readonly subject: string }) {
  const external = member(answer, 'external')
  const plain = (text: string) => text.replace(/\/$/, '')
  return (
    Array.isArray(external) &&
    external.some((each) => {
      if (!isObject(each) || member(each, 'sub') !== subject) return false
      const iss = member(each, 'iss')
      // Its configuration may have the address without the slash at the end.
      return typeof iss === 'string' && plain(iss) === plain(issuer)
    })
  )
}

function unavailable(text: string): StorageError {
  return new StorageError('unavailable', 'the account linking service cannot be asked', {
    retryAfter: 10,
    reason: { rule: 'link', text },
  })
}
