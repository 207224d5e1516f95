/** A client of one gateway's HTTP door and API. Every failure is a StorageError, of the gateway's a RemoteError. */

import type { Readable } from 'node:stream'
import { type Acl, maxAces } from '../../acl/acl.ts'
import { aclToJson } from '../../acl/codec/json.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import { type AppPasswords, appPasswordsOver } from './app-passwords.ts'
import { bansOver, type RemoteBans } from './bans.ts'
import { connectionError, remoteError } from './errors.ts'
import { type Questions, questionsOver } from './explaining.ts'
import { jsonLines } from './json-lines.ts'
import { linksOver, type RemoteLinks } from './links.ts'
import { readParts, type Whose } from './lists.ts'
import { type RemoteS3Keys, s3KeysOver } from './s3-keys.ts'
import { type RemoteSessions, sessionsOver } from './sessions.ts'
import {
  type AclState,
  type LockInfo,
  type MountInfo,
  type RemoteEntry,
  type RightsState,
  readAclState,
  readEntry,
  readHealth,
  readLocks,
  readLoginOptions,
  readMounts,
  readRights,
  readWhoami,
  type Whoami,
} from './shapes.ts'
import { type RemoteShare, readMacaroon, readShare, type ShareOrder, shareRequest } from './shares.ts'
import { type ArchiveInfo, readArchiveInfo, readRequestId, readStageStatus, type StageStatus } from './tape.ts'
import type { Download, GetOptions, PutOptions, Uploaded } from './transfers.ts'
import { type Answer, type Ask, Transport, type TransportOptions } from './transport.ts'
import { type RemoteUploads, uploadsOver } from './uploads.ts'

export type { Download, GetOptions, PutOptions, Uploaded }

const api = '/.portolan/api/v1'
const listForm = 'application/x-ndjson'
/** Largest answer of the API read: an ACL of maxAces entries with long names fits. */
const maxAnswer = maxAces * 2048
/** Largest answer about a staging request, or uploads: tens of thousands of files with long paths. */
const maxTapeAnswer = 64 * 1024 * 1024
/** How much of a refusal's body is read. */
const maxProblem = 64 * 1024

export class Client {
  readonly #transport: Transport

  constructor(options: TransportOptions) {
    this.#transport = new Transport(options)
  }

  /** Scheme, host and port of the gateway. */
  get origin(): string {
    return this.#transport.origin.origin
  }

  /** With `explain` also how the gateway came to that. */
  async whoami(explain = false): Promise<Whoami> {
    return readWhoami((await this.#api('GET', 'whoami', explain ? { explain: 'true' } : {})).value)
  }

  /** Issuers at which programs get tokens for this gateway. */
  readonly loginOptions = async () => readLoginOptions((await this.#api('GET', 'login-options')).value)

  /** The parts of the namespace that the caller can see. */
  async mounts(): Promise<readonly MountInfo[]> {
    return readMounts((await this.#api('GET', 'mounts')).value)
  }

  /** Locks of the caller, to an administrator those of all: with a path those at it, above it and below it. */
  async locks(path?: Path): Promise<readonly LockInfo[]> {
    return readLocks((await this.#api('GET', 'locks', path === undefined ? {} : { path })).value)
  }

  /** Ends a lock. */
  async unlock(token: string): Promise<void> {
    await this.#done({ method: 'DELETE', target: `${api}/locks?${new URLSearchParams({ token })}` })
  }

  /** The gateway's word about itself, `ok`; throws when it cannot serve. */
  async health(): Promise<string> {
    return readHealth((await this.#api('GET', 'health')).value)
  }

  /** Attributes by HEAD, as far as HTTP tells them. Takes the right to read a file, or to list a directory. */
  async stat(path: Path): Promise<RemoteEntry> {
    const { headers } = await this.#done({ method: 'HEAD', target: encode(path), headers: { accept: listForm } })
    const modified = headers['last-modified']
    const isDirectory = headers['content-location']?.endsWith('/') === true
    return {
      name: path.slice(path.lastIndexOf('/') + 1),
      type: isDirectory ? 'directory' : 'file',
      ...(headers['content-length'] === undefined ? {} : { size: Number(headers['content-length']) }),
      ...(modified === undefined || Number.isNaN(Date.parse(modified))
        ? {}
        : { modified: new Date(modified).toISOString() }),
      ...(headers.etag === undefined ? {} : { etag: headers.etag }),
    }
  }

  /** Entries of a directory as they come, in the back end's order. */
  async *list(path: Path, signal?: AbortSignal): AsyncGenerator<RemoteEntry> {
    const target = path === '/' ? '/' : `${encode(path)}/`
    const answer = await this.#ask({ method: 'GET', target, headers: { accept: listForm }, signal })
    try {
      for await (const value of jsonLines(answer.body)) yield readEntry(value)
    } catch (error) {
      throw connectionError(error, this.origin)
    } finally {
      answer.body.destroy()
    }
  }

  /** Throws `is-directory` for a directory. */
  async get(path: Path, options: GetOptions = {}): Promise<Download> {
    const { start = 0, end, ifMatch, signal } = options
    const isPart = start > 0 || end !== undefined
    const headers: Record<string, string> = { accept: '*/*' }
    if (isPart) headers.range = `bytes=${start}-${end === undefined ? '' : end - 1}`
    if (ifMatch !== undefined) headers['if-match'] = ifMatch
    const answer = await this.#ask({ method: 'GET', target: encode(path), headers, signal })
    if (answer.headers['content-location']?.endsWith('/')) {
      answer.body.destroy()
      throw new StorageError('is-directory', 'This is a directory', { path })
    }
    // Whoever passes over the condition would have two versions put together.
    if (ifMatch !== undefined && answer.headers.etag !== ifMatch) {
      answer.body.destroy()
      throw new StorageError('precondition', 'the file has changed', { path })
    }
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.headers['content-range'] ?? '')
    if (isPart && (answer.status !== 206 || Number(range?.[1]) !== start)) {
      answer.body.destroy()
      throw new StorageError('unsupported', 'the server does not send parts of this')
    }
    const length = answer.headers['content-length']
    const size = range ? range[2] : length
    return {
      etag: answer.headers.etag,
      start,
      length: length === undefined ? undefined : Number(length),
      size: size === undefined || size === '*' ? undefined : Number(size),
      body: answer.body,
    }
  }

  /** Sends the body only once the gateway has agreed to take it. */
  async put(path: Path, body: Readable, options: PutOptions = {}): Promise<Uploaded> {
    const headers: Record<string, string> = { expect: '100-continue', 'content-type': 'application/octet-stream' }
    if (options.size !== undefined) headers['content-length'] = String(options.size)
    if (options.ifMatch !== undefined) headers['if-match'] = options.ifMatch
    if (options.onlyNew) headers['if-none-match'] = '*'
    try {
      const { signal } = options
      const { status, headers: told } = await this.#done({ method: 'PUT', target: encode(path), headers, body, signal })
      return { created: status === 201, etag: told.etag }
    } finally {
      body.destroy()
    }
  }

  /**
   * A file or link. Give the entity tag where it is known: DELETE without a condition takes whatever has the
   * name at that moment, also a directory with all that is in it.
   */
  async remove(file: Path, etag: string | undefined): Promise<void> {
    await this.#done({
      method: 'DELETE',
      target: encode(file),
      headers: etag === undefined ? {} : { 'if-match': etag },
    })
  }

  /** A directory and all below, as far as the caller may. */
  async removeTree(directory: Path): Promise<void> {
    // To others what stays is told as WebDAV tells it, in a status that sounds like success.
    const headers = { accept: 'application/problem+json' }
    await this.#done({ method: 'DELETE', target: `${encode(directory)}/`, headers })
  }

  async getAcl(path: Path): Promise<AclState> {
    const { value, headers } = await this.#api('GET', 'acl', { path })
    return readAclState(value, headers.etag)
  }

  /** Replaces the list, if nothing has changed since `etag`. Owner and group stay. */
  async setAcl(path: Path, acl: Acl, etag: string | undefined): Promise<AclState> {
    const body = JSON.stringify(aclToJson(acl))
    const { value, headers } = await this.#api('PUT', 'acl', { path }, { body, etag })
    return readAclState(value, headers.etag)
  }

  async rights(path: Path): Promise<RightsState> {
    return readRights((await this.#api('GET', 'rights', { path })).value)
  }

  /** What is allowed, to whom, and why. */
  get questions(): Questions {
    return questionsOver(async (name, query) => (await this.#api('GET', name, query, { limit: maxTapeAnswer })).value)
  }

  /** Asks for files on tape, to be kept for `lifetime` seconds; gives the id of the request. */
  async stage(paths: readonly Path[], lifetime?: number): Promise<string> {
    const diskLifetime = lifetime === undefined ? {} : { diskLifetime: `PT${lifetime}S` }
    const body = JSON.stringify({ files: paths.map((path) => ({ path, ...diskLifetime })) })
    return readRequestId((await this.#api('POST', 'tape/stage', {}, { body })).value)
  }

  async stageStatus(id: string): Promise<StageStatus> {
    const name = `tape/stage/${encodeURIComponent(id)}`
    return readStageStatus((await this.#api('GET', name, {}, { limit: maxTapeAnswer })).value)
  }

  /** Stops waiting for these files of the request. */
  async cancelStage(id: string, paths: readonly string[]): Promise<void> {
    await this.#tell('POST', `tape/stage/${encodeURIComponent(id)}/cancel`, { paths })
  }

  /** These files of the request need not stay on disk any longer. */
  async release(id: string, paths: readonly string[]): Promise<void> {
    await this.#tell('POST', `tape/release/${encodeURIComponent(id)}`, { paths })
  }

  /** In the order asked. */
  async locality(paths: readonly Path[]): Promise<readonly ArchiveInfo[]> {
    const body = JSON.stringify({ paths })
    const { value } = await this.#api('POST', 'tape/archiveinfo', {}, { body, limit: maxTapeAnswer })
    return readArchiveInfo(value)
  }

  /** Its `url` is told here and nowhere else. */
  async share(order: ShareOrder): Promise<RemoteShare> {
    return readShare((await this.#api('POST', 'shares', {}, { body: JSON.stringify(shareRequest(order)) })).value)
  }

  shares(whose: Whose): Promise<readonly RemoteShare[]> {
    return readParts('shares', whose, (query) => this.#part('shares', query), readShare)
  }

  async unshare(id: string): Promise<void> {
    await this.#done({ method: 'DELETE', target: `${api}/shares/${encodeURIComponent(id)}` })
  }

  /** Passwords for single programs. */
  get appPasswords(): AppPasswords {
    return appPasswordsOver(
      async (method, query, body) =>
        (await this.#api(method, 'app-passwords', query, { body, limit: maxTapeAnswer })).value,
      (id) => this.#done({ method: 'DELETE', target: `${api}/app-passwords/${encodeURIComponent(id)}` }),
    )
  }

  /** Keys that requests to S3 are signed with. */
  get s3Keys(): RemoteS3Keys {
    return s3KeysOver({
      ask: async (method, below, query, body) =>
        (
          await this.#api(method, `s3-keys${below}`, query, {
            body: body && JSON.stringify(body),
            limit: maxTapeAnswer,
          })
        ).value,
      remove: (id) => this.#done({ method: 'DELETE', target: `${api}/s3-keys/${encodeURIComponent(id)}` }),
      endSession: (sessionToken) => this.#tell('POST', 's3-keys/sessions/revoke', { sessionToken }),
    })
  }

  /** Unfinished uploads of the caller, to an administrator those of all. */
  get uploads(): RemoteUploads {
    return uploadsOver(
      async () => (await this.#api('GET', 'uploads', {}, { limit: maxTapeAnswer })).value,
      (id) => this.#done({ method: 'DELETE', target: `${api}/uploads/${encodeURIComponent(id)}` }),
    )
  }

  /** A macaroon for `path` and what lies below, good for `validity` seconds; and for how many it really is. */
  async macaroon(path: Path, caveats: readonly string[], validity?: number): Promise<ReturnType<typeof readMacaroon>> {
    const body = JSON.stringify({ caveats, ...(validity !== undefined && { validity: `PT${validity}S` }) })
    const headers = { 'content-type': 'application/macaroon-request', accept: 'application/json' }
    const answer = await this.#ask({ method: 'POST', target: encode(path), headers, body })
    return readMacaroon(this.#parse(await readText(answer, maxAnswer, this.origin)))
  }

  async revokeMacaroon(macaroon: string): Promise<void> {
    await this.#tell('POST', 'macaroons/revoke', { macaroon })
  }

  /** Takes an administrator. */
  async rotateMacaroons(atOnce: boolean): Promise<void> {
    await this.#tell('POST', 'macaroons/rotate', { atOnce })
  }

  /** Who and what is let in no more; takes an administrator. */
  get bans(): RemoteBans {
    return bansOver({
      part: (query) => this.#part('bans', query),
      add: (ban) => this.#tell('POST', 'bans', ban),
      addToken: async (ban) => (await this.#api('POST', 'revocations', {}, { body: JSON.stringify(ban) })).value,
      remove: (name) => this.#done({ method: 'DELETE', target: `${api}/bans?${new URLSearchParams({ name })}` }),
    })
  }

  /** Identities of issuers that are linked to accounts. */
  get links(): RemoteLinks {
    return linksOver(
      (query) => this.#part('links', query),
      (id) => this.#done({ method: 'DELETE', target: `${api}/links/${encodeURIComponent(id)}` }),
    )
  }

  /** Browsers that are signed in. */
  get sessions(): RemoteSessions {
    return sessionsOver(
      (query) => this.#part('sessions', query),
      (id) => this.#done({ method: 'DELETE', target: `${api}/sessions/${encodeURIComponent(id)}` }),
    )
  }

  /** Closes idle connections. */
  close(): void {
    this.#transport.close()
  }

  async #part(name: string, query: Readonly<Record<string, string>>): Promise<unknown> {
    return (await this.#api('GET', name, query, { limit: maxTapeAnswer })).value
  }

  /** A request of the API that is answered without content. */
  async #tell(method: 'POST', name: string, content: unknown): Promise<void> {
    const headers = { 'content-type': 'application/json' }
    await this.#done({ method, target: `${api}/${name}`, headers, body: JSON.stringify(content) })
  }

  async #api(
    method: 'GET' | 'PUT' | 'POST',
    name: string,
    query: Readonly<Record<string, string>> = {},
    sent: { readonly body?: string | undefined; readonly etag?: string | undefined; readonly limit?: number } = {},
  ): Promise<{ readonly value: unknown; readonly headers: Answer['headers'] }> {
    const search = new URLSearchParams(query).toString()
    const headers: Record<string, string> = { accept: 'application/json' }
    if (sent.body !== undefined) headers['content-type'] = 'application/json'
    if (sent.etag !== undefined) headers['if-match'] = sent.etag
    const target = `${api}/${name}${search === '' ? '' : `?${search}`}`
    const ask: Ask = { method, target, headers, ...(sent.body === undefined ? {} : { body: sent.body }) }
    const answer = await this.#ask(ask)
    const text = await readText(answer, sent.limit ?? maxAnswer, this.origin)
    return { value: this.#parse(text), headers: answer.headers }
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw new StorageError('unavailable', `${this.origin}: this is no Portolan gateway`, { cause })
    }
  }

  /** An answer whose body does not matter. */
  async #done(ask: Ask): Promise<Answer> {
    const answer = await this.#ask(ask)
    await readText(answer, maxAnswer, this.origin)
    return answer
  }

  /** A successful answer; any other is thrown as RemoteError. */
  async #ask(ask: Ask): Promise<Answer> {
    const answer = await this.#transport.ask(ask)
    if (answer.status >= 200 && answer.status < 300) return answer
    const text = ask.method === 'HEAD' ? '' : await readText(answer, maxProblem, this.origin)
    throw remoteError(answer.status, answer.headers, text)
  }
}

/** At most `limit` bytes; the rest is not taken. */
async function readText({ body }: Answer, limit: number, origin: string): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const part of body as AsyncIterable<Buffer>) {
      parts.push(part)
      size += part.length
      if (size > limit) throw new StorageError('too-large', `${origin}: an answer too long to read`)
    }
  } catch (error) {
    throw connectionError(error, origin)
  }
  return Buffer.concat(parts).toString()
}

/** Names percent-encoded one by one. */
function encode(path: Path): string {
  return path.split('/').map(encodeURIComponent).join('/')
}
