/**
 * Requests to the store: deadlines, the retries that are safe, errors. Every setting that the SDK would otherwise take
 * from the environment or from files of the account is given here.
 */

import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { S3Client } from '@aws-sdk/client-s3'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import { checkedDocument, collect } from './body.ts'
import { abortOf, failureOf, unavailable } from './errors.ts'
import { defaults, type S3Options } from './options.ts'

/** How a request is made. */
export interface How {
  /** Whose going away ends it; absent for what must be done after the caller has gone. */
  readonly signal?: AbortSignal | undefined
  /** Named in errors. */
  readonly path?: Path
  /** The same request twice does what one does: it is tried again when the store or the network fails. */
  readonly again?: boolean
  /** Milliseconds beyond the usual deadline. */
  readonly more?: number
  /** It moves bytes of files. */
  readonly bytes?: boolean
}

/** Tries of a request that may be repeated. */
const tries = 3
/** Largest answer that is parsed: 1,000 keys of 1,024 bytes, each byte written as %XX, and what stands around them. */
const longestDocument = 8 * 2 ** 20

export class Store {
  readonly bucket: string
  readonly stall: number
  readonly #deadline: number
  readonly #metadata: S3Client
  readonly #bytes: S3Client
  readonly #closing = new AbortController()

  constructor(options: S3Options) {
    this.bucket = options.bucket
    this.stall = options.stall ?? defaults.stall
    this.#deadline = options.deadline ?? defaults.deadline
    this.#metadata = makeClient(options)
    this.#bytes = makeClient(options)
  }

  /** Throws `unavailable` when closed, and the signal's reason when that is aborted. */
  check(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw unavailable('the back end is closed')
    if (signal?.aborted) throw abortOf(signal)
  }

  /** Aborts when the caller goes or the back end is closed. */
  alive(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal
  }

  /** Makes one request. `send` is called again only for what may be repeated. Throws StorageErrors alone. */
  async request<T>(
    { signal, path, again, more = 0, bytes }: How,
    send: (client: S3Client, options: { readonly abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const client = bytes ? this.#bytes : this.#metadata
    for (let left = again ? tries : 1; ; ) {
      this.check(signal)
      // Not AbortSignal.timeout: the SDK heeds its signal as long as the body of an answer flows.
      const late = new AbortController()
      const timer = setTimeout(() => late.abort(), this.#deadline + more)
      try {
        return await send(client, { abortSignal: AbortSignal.any([this.alive(signal), late.signal]) })
      } catch (thrown) {
        this.check(signal)
        if (late.signal.aborted) throw unavailable('the storage does not answer')
        const { error, passing } = failureOf(thrown, path)
        left--
        if (!passing || left === 0) throw error
      } finally {
        clearTimeout(timer)
      }
      await this.pause(signal)
    }
  }

  /** Before something is tried again. */
  async pause(signal: AbortSignal | undefined): Promise<void> {
    const alive = this.alive(signal)
    try {
      await sleep(50 + Math.random() * 200, undefined, { signal: alive })
    } catch {
      this.check(signal)
    }
  }

  close(): void {
    this.#closing.abort(unavailable('the back end is closed'))
    this.#metadata.destroy()
    this.#bytes.destroy()
  }
}

// For settings that it has no option for the SDK looks into files of the account's home. They shall not count, and the
// account of a service may have no home at all, which the SDK takes for an error.
for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) process.env[name] = '/dev/null'
process.env.HOME ??= '/'

const quiet = { debug() {}, info() {}, warn() {}, error() {}, trace() {} }
/** How long a key that was read counts. Less than 5 minutes before that the SDK reads it again. */
const keyLife = 15 * 60_000

function makeClient({ endpoint, region, pathStyle, credentials, ca, connections }: S3Options): S3Client {
  const agent = { keepAlive: true, maxSockets: connections ?? defaults.connections }
  const client = new S3Client({
    endpoint: endpoint.href,
    region,
    forcePathStyle: pathStyle,
    credentials: async () => {
      const { accessKeyId, secretAccessKey } = await credentials()
      return { accessKeyId, secretAccessKey: secretAccessKey.reveal(), expiration: new Date(Date.now() + keyLife) }
    },
    maxAttempts: 1,
    retryMode: 'standard',
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    useAccelerateEndpoint: false,
    useArnRegion: false,
    disableMultiregionAccessPoints: true,
    disableS3ExpressSessionAuth: true,
    followRegionRedirects: false,
    defaultsMode: 'standard',
    authSchemePreference: ['sigv4'],
    userAgentAppId: 'portolan',
    logger: quiet,
    requestHandler: {
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent({ ...agent, ...(ca !== undefined && { ca }) }),
      connectionTimeout: 10_000,
      requestTimeout: 0,
      logger: quiet,
    },
  })
  harden(client, endpoint)
  return client
}

/** Bounds and checks every body but those of files, before the SDK parses it. */
function harden(client: S3Client, { protocol }: URL): void {
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) => {
        const result = await next(args)
        const response = result.response as { statusCode: number; body?: Readable }
        const { statusCode, body } = response
        if (statusCode < 300 && commandName === 'GetObjectCommand') return result
        if (!(body instanceof Readable)) return result
        const bytes = checkedDocument(commandName, statusCode, await collect(body, longestDocument))
        response.body = Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false })
        return result
      },
    { step: 'deserialize', priority: 'low', name: 'checkedDocument' },
  )
  if (protocol !== 'https:') return
  // TLS already protects the bytes; hashing them once more for the signature would halve the speed of uploads.
  client.middlewareStack.add(
    (next) => async (args) => {
      const request = args.request as { headers: Record<string, string> }
      request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD'
      return next(args)
    },
    { step: 'build', priority: 'low', name: 'unsignedPayload' },
  )
}

/** Whether something thrown is of one of these codes. */
export function isCode(error: unknown, ...codes: ReadonlyArray<StorageError['code']>): boolean {
  return error instanceof StorageError && codes.includes(error.code)
}
