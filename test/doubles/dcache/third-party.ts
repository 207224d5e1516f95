/**
 * HTTP third-party copy (user guide, WebDAV, "Third-party transfers"): the door answers 202 at once, and what
 * became of it is the last line of a stream of performance markers.
 */

import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { rootCertificates } from 'node:tls'
import type { Content } from './content.ts'
import type { DoorCall } from './door.ts'
import { beginFile } from './door-writing.ts'
import { Failure } from './failure.ts'
import type { Answer } from './serving.ts'
import type { FileNode } from './tree.ts'
import { abandon, digestHeader, receive } from './uploading.ts'

const credentials: ReadonlySet<string> = new Set(['none', 'gridsite', 'oidc'])
const maxRedirects = 5

/** What the pool knows of a transfer. */
interface Transfer {
  readonly remote: URL
  readonly headers: Readonly<Record<string, string>>
  readonly mustVerify: boolean
  readonly ca: readonly string[] | undefined
  readonly abort: AbortController
  bytes: number
}

/** The transfer ended without success; the text follows "failure: ". */
class Rejected extends Error {}

export async function thirdPartyCopy(call: DoorCall): Promise<Answer> {
  const { site, ask, login, path } = call
  const { source, destination, credential, overwrite = 'T' } = ask.headers
  if (credential !== undefined && !credentials.has(String(credential))) {
    throw new Failure('bad-request', `Unknown credential ${credential}`)
  }
  if (overwrite !== 'T' && overwrite !== 'F') throw new Failure('bad-request', 'Overwrite is T or F')
  if (login.uid === undefined) throw new Failure('denied', 'Anonymous third-party transfer')
  if (credential === 'gridsite') return delegate(call)
  const transfer = transferOf(call, String(source ?? destination))
  if (source !== undefined) {
    if (overwrite === 'F' && site.gate.look(login, path)) throw new Failure('precondition', 'File exists')
    // The file that was there goes before anything is transferred.
    const file = beginFile(call, undefined)
    return answer(call, transfer, () => pull(call, transfer, file))
  }
  site.gate.demand(login, 'DOWNLOAD', path)
  const node = site.gate.get(login, path)
  if (node.type !== 'file' || !node.content) throw new Failure('bad-request', 'Not a regular file')
  const { content } = node
  site.gate.require(login, 'read', node)
  return answer(call, transfer, () => push(call, transfer, node, content))
}

/** Without a proxy certificate the client is sent away once to delegate one. */
function delegate({ ask, base }: DoorCall): Answer {
  if (ask.url.searchParams.get('asked-to-delegate') === 'true') throw new Failure('denied', 'Delegation failed')
  const location = new URL(ask.url.pathname, base)
  location.searchParams.set('asked-to-delegate', 'true')
  return { status: 302, headers: { Location: location.href, 'X-Delegate-To': new URL('/delegation', base).href } }
}

function transferOf({ site, ask }: DoorCall, remote: string): Transfer {
  if (!URL.canParse(remote)) throw new Failure('bad-request', 'bad remote URL')
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(ask.headers)) {
    const own = /^transferheader(.+)$/.exec(name)?.[1]
    if (own !== undefined) headers[own] = String(value)
  }
  const required = ask.headers.requirechecksumverification
  const { tls, requireVerification = true } = site.options
  return {
    remote: new URL(remote),
    headers,
    mustVerify: required === undefined ? requireVerification : String(required).toLowerCase() === 'true',
    ca: tls ? [...rootCertificates, tls.cert] : undefined,
    abort: new AbortController(),
    bytes: 0,
  }
}

/** The stream of markers; who closes the connection ends the transfer. */
function answer({ site, ask }: DoorCall, transfer: Transfer, run: () => Promise<void>): Answer {
  const started = site.clock.now()
  const body = new Readable({ read() {} })
  ask.signal.addEventListener('abort', () => transfer.abort.abort(), { once: true })
  let cancel = () => {}
  const period = site.options.markerPeriod ?? 5000
  const mark = () => {
    body.push(marker(site.clock.now(), started, transfer.bytes))
    cancel = site.clock.after(period, mark)
  }
  cancel = site.clock.after(period, mark)
  const finish = (line: string) => {
    cancel()
    body.push(`${line}\n`)
    body.push(null)
  }
  run().then(
    () => finish('success: Created'),
    (error: unknown) => finish(`failure: ${error instanceof Error ? error.message : 'unknown'}`),
  )
  return { status: 202, headers: { 'Content-Type': 'text/perf-marker-stream' }, body }
}

function marker(now: number, started: number, bytes: number): string {
  return [
    'Perf Marker',
    `    Timestamp: ${Math.floor(now / 1000)}`,
    '    State: Running',
    '    State description: Transferring',
    '    Stripe Index: 0',
    `    Stripe Start Time: ${Math.floor(started / 1000)}`,
    `    Stripe Transfer Time: ${Math.floor((now - started) / 1000)}`,
    `    Stripe Bytes Transferred: ${bytes}`,
    '    Stripe Status: RUNNING',
    '    Total Stripe Count: 1',
    'End',
    '',
  ].join('\n')
}

async function pull(call: DoorCall, transfer: Transfer, file: FileNode): Promise<void> {
  const { site, login } = call
  try {
    const response = await send(transfer, 'GET', { 'Want-Digest': 'adler32' })
    if (response.statusCode !== 200) throw rejection('GET', response)
    const length = response.headers['content-length']
    const upload = { file, kinds: [], md5: undefined, maxSize: login.maxUpload }
    const body = counted(response, transfer)
    await receive(site, { ...upload, length: length === undefined ? undefined : Number(length) }, body)
    verify(transfer, response, file)
  } catch (error) {
    abandon(site, file)
    if (error instanceof Rejected && site.tree.byId(file.pnfsId) === file) site.tree.remove(file)
    throw error
  }
}

async function push(call: DoorCall, transfer: Transfer, file: FileNode, content: Content): Promise<void> {
  await call.site.tape.fetch(file)
  const response = await send(transfer, 'PUT', { 'Content-Length': `${content.size}` }, content)
  response.resume()
  if ((response.statusCode ?? 0) >= 300) throw rejection('PUT', response)
  const check = await send(transfer, 'HEAD', { 'Want-Digest': 'adler32' })
  check.resume()
  verify(transfer, check, file)
}

function rejection(method: string, response: IncomingMessage): Rejected {
  response.resume()
  return new Rejected(`rejected ${method}: ${response.statusCode} ${response.statusMessage}`)
}

function verify({ mustVerify }: Transfer, response: IncomingMessage, file: FileNode): void {
  const remote = /adler32=([0-9a-f]{8})/i.exec(String(response.headers.digest ?? ''))?.[1]
  const own = digestHeader(file.checksums, ['adler32']).slice('adler32='.length)
  if (remote === undefined && mustVerify) throw new Rejected('failed to verify checksum: no remote checksum')
  if (remote !== undefined && remote.toLowerCase() !== own) {
    throw new Rejected(`checksum mismatch: ${remote} is not ${own}`)
  }
}

async function* counted(source: AsyncIterable<Buffer>, transfer: Transfer): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    transfer.bytes += chunk.length
    yield chunk
  }
}

/** Follows redirects; the credential for the remote stays with the first host. */
async function send(
  transfer: Transfer,
  method: string,
  headers: Readonly<Record<string, string>>,
  content?: Content,
): Promise<IncomingMessage> {
  let url = transfer.remote
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const own = url.host === transfer.remote.host ? transfer.headers : {}
    const make = url.protocol === 'https:' ? httpsRequest : httpRequest
    const options = { method, headers: { ...headers, ...own }, signal: transfer.abort.signal }
    const request = make(url, transfer.ca ? { ...options, ca: [...transfer.ca] } : options)
    const answered = once(request, 'response') as Promise<[IncomingMessage]>
    // A server may answer, and redirect, before it has all of the body: what counts is the answer.
    if (content) void pipeline(counted(content.read(0, content.size), transfer), request).catch(() => {})
    else request.end()
    const [response] = await answered
    const { location } = response.headers
    if ((response.statusCode ?? 0) < 300 || (response.statusCode ?? 0) >= 400 || location === undefined) return response
    response.resume()
    url = new URL(location, url)
  }
  throw new Rejected('too many redirects')
}
