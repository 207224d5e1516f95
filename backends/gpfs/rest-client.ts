/**
 * The Storage Scale management API v2: requests over verified TLS, its status envelope, pages and jobs
 * (IBM Storage Scale, "API responses"; "Jobs/{jobId}: GET"). Redirects are not followed.
 */

import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { Deadline } from './deadline.ts'
import { brokenAnswer, failure } from './failures.ts'
import { failureOfStatus, isPassing, type Members, markPassing, membersOf, requireFinished } from './rest-answers.ts'
import { Slots } from './slots.ts'

export interface RestClientOptions {
  /** Where the API is: https://gui.example.org/scalemgmt/v2. */
  readonly url: URL
  /** PEM certificates trusted besides nothing else; the system's if absent. */
  readonly ca?: string | undefined
  readonly user: string
  /** Asked for each request, so that a changed one counts at once. */
  readonly password: () => Promise<Secret>
  /** Requests at a time. Default 8. */
  readonly atOnce?: number
  /** Requests that may wait. Default 1000. */
  readonly waiting?: number
  /** ms from the call to the answer, with waiting, pages and jobs. Default 60 s. */
  readonly deadline?: number
  /** ms before each further attempt of a GET where that may help. Default 100 and 1000. */
  readonly pauses?: readonly number[]
}

/** A path below the API's own, percent-encoded, and what follows the question mark. */
export interface Resource {
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
}

/** Bytes accepted for one answer. */
const bodyLimit = 16 * 1024 * 1024
/** Pages of 1000 objects accepted for one list. */
const pageLimit = 500
const usualPauses = [100, 1000]
/** ms before the first look at a job, and at most between two. */
const firstPoll = 50
const longestPoll = 2000

export class RestClient {
  readonly #options: RestClientOptions
  readonly #agent: https.Agent
  readonly #base: string
  readonly #slots: Slots
  readonly #closing = new AbortController()

  constructor(options: RestClientOptions) {
    const { url, ca, atOnce = 8, waiting = 1000 } = options
    if (url.protocol !== 'https:') throw new StorageError('invalid', 'the management API is asked by https only')
    this.#options = options
    this.#base = url.pathname.replace(/\/+$/, '')
    this.#slots = new Slots(atOnce, waiting)
    this.#agent = new https.Agent({
      keepAlive: true,
      maxSockets: atOnce,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      ...(ca !== undefined && { ca }),
    })
  }

  /** The answer to a GET. Repeated where the API says that trying again may help. */
  async get(resource: Resource, signal: AbortSignal): Promise<Members> {
    return this.#within(signal, (within) => this.#get(resource, within))
  }

  /** All objects of a list, page by page. `key`: the member that holds them. */
  async list(resource: Resource, key: string, signal: AbortSignal): Promise<Members[]> {
    return this.#within(signal, async (within) => {
      const found: Members[] = []
      const pages = new Set<string>()
      let query = resource.query
      for (;;) {
        const page = await this.#get({ ...resource, ...(query && { query }) }, within)
        const objects = page[key]
        if (!Array.isArray(objects)) throw brokenAnswer(`the answer has no list ${key}`)
        found.push(...objects.map(membersOf))
        const lastId = lastIdOf(page)
        if (lastId === undefined) return found
        if (pages.has(lastId) || pages.size >= pageLimit) throw brokenAnswer('the pages have no end')
        pages.add(lastId)
        query = { ...resource.query, lastId }
      }
    })
  }

  /** Sends a PUT and waits until its job has done what it should. Never repeated. */
  async put(resource: Resource, body: unknown, signal: AbortSignal): Promise<void> {
    await this.#within(signal, async (within) => {
      const answer = await this.#send('PUT', resource, JSON.stringify(body), within)
      // What was only accepted is a job, whether it is named or not.
      if (answer.jobs !== undefined || codeIn(answer) === 202) await this.#finish(answer, within)
    })
  }

  /** Ends what is under way; its callers get `unavailable`. */
  close(): void {
    this.#closing.abort()
    this.#agent.destroy()
  }

  async #within<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    using deadline = new Deadline(signal, this.#closing.signal, this.#options.deadline ?? 60_000)
    try {
      return await work(deadline.signal)
    } catch (error) {
      // What a request that was broken off throws says less than why it was.
      deadline.signal.throwIfAborted()
      throw StorageError.from(error)
    }
  }

  async #get(resource: Resource, signal: AbortSignal): Promise<Members> {
    for (const pause of this.#options.pauses ?? usualPauses) {
      try {
        return await this.#send('GET', resource, undefined, signal)
      } catch (error) {
        if (signal.aborted || !isPassing(error)) throw error
      }
      await sleep(pause, undefined, { signal })
    }
    return this.#send('GET', resource, undefined, signal)
  }

  async #finish(answer: Members, signal: AbortSignal): Promise<void> {
    const jobId = membersOf(Array.isArray(answer.jobs) ? answer.jobs[0] : undefined).jobId
    if (!Number.isSafeInteger(jobId) || Number(jobId) < 0) throw brokenAnswer('a job has no number')
    const resource = { path: `/jobs/${jobId}`, query: { fields: ':all:' } }
    for (let pause = firstPoll; ; pause = Math.min(pause * 2, longestPoll)) {
      await sleep(pause, undefined, { signal })
      const { jobs } = await this.#get(resource, signal)
      const job = Array.isArray(jobs) ? jobs.map(membersOf).find((each) => each.jobId === jobId) : undefined
      if (!job) throw brokenAnswer('a job is not there')
      if (requireFinished(job)) return
    }
  }

  async #send(method: 'GET' | 'PUT', resource: Resource, body: string | undefined, signal: AbortSignal) {
    const giveBack = await this.#slots.take(signal)
    try {
      const { url } = this.#options
      const authorization = await this.#authorization()
      const { status, text } = await exchange(
        {
          agent: this.#agent,
          method,
          host: url.hostname.replace(/^\[|\]$/g, ''),
          port: url.port || 443,
          path: `${this.#base}${resource.path}${queryOf(resource)}`,
          headers: {
            accept: 'application/json',
            authorization,
            ...(body !== undefined && {
              'content-type': 'application/json',
              'content-length': Buffer.byteLength(body),
            }),
          },
          signal,
        },
        body,
      )
      return bodyOf(status, text)
    } finally {
      giveBack()
    }
  }

  async #authorization(): Promise<string> {
    const { user, password } = this.#options
    try {
      return `Basic ${Buffer.from(`${user}:${(await password()).reveal()}`).toString('base64')}`
    } catch (error) {
      throw failure('unavailable', `no password for the management API: ${codeOf(error)}`)
    }
  }
}

function queryOf({ query }: Resource): string {
  return query ? `?${new URLSearchParams(query)}` : ''
}

/**
 * Where the list goes on. The address in `next` may be the GUI node's own view of itself ("https://localhost/..."),
 * so only its `lastId` is taken: no credential is ever sent to an address out of an answer.
 */
function lastIdOf(page: Members): string | undefined {
  const next = page.paging === undefined || page.paging === null ? undefined : membersOf(page.paging).next
  if (next === undefined || next === null || next === '') return undefined
  const url = typeof next === 'string' ? URL.parse(next, 'https://localhost') : null
  const lastId = url?.searchParams.get('lastId')
  if (!lastId) throw brokenAnswer('the next page has no address')
  return lastId
}

function exchange(
  options: https.RequestOptions,
  body: string | undefined,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(notReached(error))
    const request = https.request(options, (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > bodyLimit) response.destroy(brokenAnswer('the answer is too long'))
        else chunks.push(chunk)
      })
      response.on('error', fail)
      response.once('end', () => {
        if (!response.complete) fail(new Error('the answer is cut off'))
        else resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') })
      })
    })
    // Not only once: a connection may break again after it has been given up.
    request.on('error', fail)
    request.end(body)
  })
}

function bodyOf(http: number, text: string): Members {
  let body: Members | undefined
  try {
    body = membersOf(JSON.parse(text))
  } catch {
    // Not JSON: with an error the HTTP status says enough, with a success it is a broken answer.
  }
  const told = body?.status === undefined ? undefined : membersOf(body.status)
  const worse = Math.max(http, body ? codeIn(body) : 0)
  if (worse >= 400 || worse < 200) throw failureOfStatus(worse, String(told?.message ?? ''))
  if (!body || !told || worse >= 300) throw brokenAnswer(`status ${http} without the API's envelope`)
  return body
}

/** What the envelope says; 0 where it says nothing. */
function codeIn({ status }: Members): number {
  const code = status === undefined ? 0 : Number(membersOf(status).code)
  return Number.isSafeInteger(code) ? code : 0
}

function notReached(error: unknown): StorageError {
  if (error instanceof StorageError) return error
  return markPassing(failure('unavailable', `the management API: ${codeOf(error)}`))
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'no code'
}
