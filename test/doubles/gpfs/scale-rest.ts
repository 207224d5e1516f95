/**
 * A stand-in for the management API v2 of IBM Storage Scale ("API responses", "Filesystems/{filesystemName}/acl/{path}",
 * "Jobs/{jobId}"): HTTPS with HTTP Basic, the status envelope, lists in pages, changes as jobs. Like the real one it
 * runs the commands, here those of a GpfsDouble.
 */

import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import type { GpfsDouble, GpfsSettings } from './gpfs.ts'

export interface ScaleRestOptions {
  readonly double: GpfsDouble
  /** Those of the double. */
  readonly settings: GpfsSettings
  readonly user: string
  readonly password: string
  /** Objects of one page. Default 1000. */
  readonly pageSize?: number
  /** How often a job is looked at before it is done. Default 1. */
  readonly looks?: number
}

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
}

/** Answers a request itself, and says so by true. */
export type Interference = (asked: Asked, response: ServerResponse) => boolean

type Json = Readonly<Record<string, unknown>>
const run = promisify(execFile)
const base = '/scalemgmt/v2'

/** Letters of the API and cells of the commands. */
const letters: Readonly<Record<string, string>> = {
  r: 'READ/LIST',
  w: 'WRITE/CREATE',
  m: 'APPEND/MKDIR',
  x: 'EXEC/SEARCH',
  d: 'DELETE',
  D: 'DELETE_CHILD',
  a: 'READ_ATTR',
  A: 'WRITE_ATTR',
  n: 'READ_NAMED',
  N: 'WRITE_NAMED',
  c: 'READ_ACL',
  C: 'WRITE_ACL',
  o: 'CHOWN',
  s: 'SYNCHRONIZE',
}
const flagWords: Readonly<Record<string, string>> = {
  f: 'FileInherit',
  d: 'DirInherit',
  i: 'InheritOnly',
  n: 'NoPropagateInherit',
  I: 'Inherited',
}

export class ScaleRestDouble {
  readonly url: URL
  /** The certificate to trust. */
  readonly ca: string
  readonly asked: Asked[] = []
  /** What the next requests meet instead of an answer. */
  interfere: Interference | undefined
  /** How the next jobs end. */
  outcome: { readonly status: string; readonly exitCode: unknown; readonly stderr: readonly string[] } | undefined
  readonly #options: ScaleRestOptions
  readonly #server: https.Server
  readonly #jobs = new Map<number, { left: number; job: Json }>()
  #nextJob = 1_000_000_000_001

  private constructor(options: ScaleRestOptions, server: https.Server, ca: string) {
    this.#options = options
    this.#server = server
    this.ca = ca
    this.url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}${base}`)
    server.on('request', (request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        if (!response.headersSent) send(response, 500, { message: String(error) })
      })
    })
  }

  static async start(options: ScaleRestOptions): Promise<ScaleRestDouble> {
    const tls = makeCertificate()
    const server = https.createServer(tls)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new ScaleRestDouble(options, server, tls.cert)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url)
    const asked = { method: request.method ?? '', path: url.pathname.slice(base.length), query: url.searchParams }
    this.asked.push(asked)
    const body = await text(request)
    if (this.interfere?.(asked, response)) return
    const pair = Buffer.from(`${this.#options.user}:${this.#options.password}`).toString('base64')
    if (request.headers.authorization !== `Basic ${pair}`) return send(response, 401, { message: 'Unauthorized' })
    const [, kind, name, ...rest] = asked.path.split('/')
    if (kind === 'jobs') return this.#job(Number(name), response)
    if (kind !== 'filesystems' || name !== this.#options.settings.fileSystem) return noSuch(response)
    return this.#fileSystem(asked, rest, body, response)
  }

  async #fileSystem(asked: Asked, rest: readonly string[], body: string, response: ServerResponse): Promise<void> {
    const [what, name = ''] = rest
    const { settings } = this.#options
    if (what === undefined) return this.#page(asked, 'filesystems', [this.#about()], response)
    if (what === 'acl') return this.#acl(asked.method, this.#pathOf(name), body, response)
    if (what === 'owner') return this.#owner(this.#pathOf(name), response)
    const within = what === 'filesets' && rest.length === 3 ? decodeURIComponent(name) : undefined
    const list = within === undefined ? what : rest[2]
    if (within !== undefined && !settings.filesets?.some((fileset) => fileset.name === within)) {
      return send(response, 400, { message: "EFSSG0072C 400 Invalid value in 'filesetName'" })
    }
    if (list === 'filesets') return this.#page(asked, list, this.#filesets(), response)
    if (list === 'quotas') return this.#page(asked, list, this.#quotas(asked, within), response)
    if (list === 'snapshots') return this.#page(asked, list, this.#snapshots(within), response)
    return noSuch(response)
  }

  #about(): Json {
    const { settings } = this.#options
    const mount = { mountPoint: settings.mountPoint }
    return { name: settings.fileSystem, mount, settings: { ACLSemantics: settings.aclSemantics ?? 'nfs4' } }
  }

  #filesets(): Json[] {
    const { settings } = this.#options
    const root = { name: 'root', path: settings.mountPoint, independent: true }
    return [root, ...(settings.filesets ?? [])].map(({ name, path, independent }) => ({
      filesetName: name,
      filesystemName: settings.fileSystem,
      config: {
        path: path ?? '--',
        status: path === undefined ? 'Unlinked' : 'Linked',
        isInodeSpaceOwner: independent ?? false,
      },
    }))
  }

  /** The filter is a conjunction of key=value. */
  #quotas({ query }: Asked, fileset: string | undefined): Json[] {
    const filter = (query.get('filter') ?? '').split(',').map((pair) => pair.split('='))
    const objects: Json[] = (this.#options.settings.quotas ?? []).map(({ id, name, filesetname, ...numbers }) => ({
      ...numbers,
      objectName: name,
      objectId: id,
      filesetName: filesetname ?? '',
    }))
    const isOurs = (object: Json) => filter.every(([key = '', value]) => key === '' || String(object[key]) === value)
    return objects.filter((each) => isOurs(each) && (fileset === undefined || each.filesetName === fileset))
  }

  #snapshots(fileset: string | undefined): Json[] {
    const snapshots = this.#options.settings.snapshots ?? []
    return snapshots
      .filter((snapshot) => snapshot.fileset === fileset)
      .map(({ name, created, status }) => ({
        snapshotName: name,
        filesetName: fileset ?? '',
        status: status ?? 'Valid',
        created: new Date(created).toISOString().slice(0, 19).replace('T', ' '),
      }))
  }

  #page({ path, query }: Asked, key: string, objects: readonly Json[], response: ServerResponse): void {
    const from = Number(query.get('lastId') ?? 0)
    const to = from + (this.#options.pageSize ?? 1000)
    // The GUI node tells addresses as it sees itself.
    const next = `https://localhost:47443${base}${path}?lastId=${to}`
    const paging = to < objects.length ? { paging: { next, lastId: to } } : {}
    send(response, 200, { [key]: objects.slice(from, to), ...paging })
  }

  #pathOf(encoded: string): string {
    return join(this.#options.settings.mountPoint, decodeURIComponent(encoded))
  }

  async #owner(path: string, response: ServerResponse): Promise<void> {
    const found = await stat(path).catch(() => undefined)
    if (!found) return unknownObject(response)
    const { names } = this.#options.settings
    const user = names?.passwd?.[found.uid] ?? ''
    const group = names?.group?.[found.gid] ?? ''
    send(response, 200, { owner: { user, uid: found.uid, group, gid: found.gid } })
  }

  async #acl(method: string, path: string, body: string, response: ServerResponse): Promise<void> {
    if (method === 'PUT') return this.#putAcl(path, body, response)
    const shown = await run(join(this.#options.double.bin, 'mmgetacl'), ['-k', 'nfs4', path]).catch(() => undefined)
    if (!shown) return unknownObject(response)
    send(response, 200, { acl: { type: 'NFSv4', entries: entriesOf(shown.stdout) } })
  }

  /** Accepted at once; done, or not, when the job is looked at. */
  async #putAcl(path: string, body: string, response: ServerResponse): Promise<void> {
    const { type, entries } = JSON.parse(body)
    if (type !== 'NFSv4' || !Array.isArray(entries)) return send(response, 400, { message: 'Invalid value' })
    const put = run(join(this.#options.double.bin, 'mmputacl'), [path])
    put.child.stdin?.end(`#NFSv4 ACL\n${entries.map(blockOf).join('\n')}`)
    const failed = (await put.then(
      () => undefined,
      (error: { code: number; stderr: string }) => error,
    )) as { code: number; stderr: string } | undefined
    const ended = this.outcome ?? {
      status: failed ? 'FAILED' : 'COMPLETED',
      exitCode: failed?.code ?? 0,
      stderr: failed ? [failed.stderr] : [],
    }
    const jobId = this.#nextJob++
    const { status, exitCode, stderr } = ended
    const result = { progress: [], commands: [`mmputacl '${path}'`], stdout: [], stderr, exitCode }
    this.#jobs.set(jobId, { left: this.#options.looks ?? 1, job: { jobId, status, result } })
    send(response, 202, { jobs: [{ jobId, status: 'RUNNING', completed: 'N/A' }] })
  }

  #job(id: number, response: ServerResponse): void {
    const found = this.#jobs.get(id)
    if (found) found.left -= 1
    if (found) send(response, 200, { jobs: [found.left >= 0 ? { jobId: id, status: 'RUNNING' } : found.job] })
    else noSuch(response)
  }
}

/** An answer in the envelope. */
export function send(response: ServerResponse, code: number, members: Json & { readonly message?: string }): void {
  const { message = 'The request finished successfully.', ...rest } = members
  response.statusCode = code
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ ...rest, status: { code, message } }))
}

function noSuch(response: ServerResponse): void {
  send(response, 404, { message: 'Resource not found' })
}

function unknownObject(response: ServerResponse): void {
  const message = 'Input validation failed: EFSSP0010C CLI parser: The object "x" specified for "path" does not exist.'
  send(response, 400, { message })
}

function entriesOf(list: string): Json[] {
  const entries: { type: string; who: string; permissions: string; flags: string }[] = []
  for (const line of list.split('\n')) {
    const [, who, type, words] = /^(\w+:[^:]+):[rwxc-]{4}:(\w+)((?::\w+)*)$/.exec(line) ?? []
    const last = entries.at(-1)
    if (who !== undefined && type !== undefined) {
      const flags = Object.entries(flagWords).filter(([, word]) => words?.split(':').includes(word))
      entries.push({ who, type, permissions: '', flags: flags.map(([letter]) => letter).join('') })
    } else if (last && line.trim().startsWith('(')) {
      const set = [...line.matchAll(/\(X\)([A-Z_/]+)/g)].map(([, cell]) => cell)
      const all = `${last.permissions}${Object.keys(letters)
        .filter((letter) => set.includes(letters[letter]))
        .join('')}`
      last.permissions = Object.keys(letters)
        .filter((letter) => all.includes(letter))
        .join('')
    }
  }
  return entries
}

function blockOf(entry: { type: string; who: string; permissions: string; flags: string }): string {
  const cells = Object.entries(letters).map(
    ([letter, cell]) => `(${entry.permissions.includes(letter) ? 'X' : '-'})${cell}`,
  )
  const flags = [...entry.flags].map((letter) => `:${flagWords[letter]}`).join('')
  return `${entry.who}:----:${entry.type}${flags}\n ${cells.join(' ')}\n`
}

function makeCertificate(): { readonly key: string; readonly cert: string } {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-scale-tls-'))
  try {
    const [key, cert] = [join(directory, 'key'), join(directory, 'cert')]
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
    const subject = ['-subj', '/CN=gui', '-addext', 'subjectAltName=IP:127.0.0.1']
    execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' })
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
