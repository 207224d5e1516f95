/** Storage Scale by its management REST API v2: ACLs, and what the file system tells of itself (rest-info.ts). */

import type { Acl } from '../../acl/acl.ts'
import { formatGpfsRest, parseGpfsRest } from '../../acl/codec/gpfs-rest.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { unreadableAcl } from './failures.ts'
import type { AclProvider, Scale, StoredAcl } from './providers.ts'
import { checkName } from './quantities.ts'
import { membersOf, textOf } from './rest-answers.ts'
import { RestClient, type RestClientOptions } from './rest-client.ts'
import { RestInfo } from './rest-info.ts'

export interface RestOptions extends RestClientOptions {
  readonly fileSystem: string
  /** Where the file system is mounted on this machine: paths are told to the API relative to it. */
  readonly mountPoint: string
  /** NFSv4 domain of plain names in ACLs. */
  readonly domain?: string | undefined
}

/** Storage Scale by its management API. Nothing is asked before it is needed. Throws `invalid` for a wrong name or address. */
export function scaleByRest(options: RestOptions): Scale {
  const client = new RestClient(options)
  const fileSystem = `/filesystems/${encodeURIComponent(checkName(options.fileSystem, 'a file system'))}`
  return {
    acls: new RestAcls(client, fileSystem, options),
    info: new RestInfo(client, fileSystem, options.mountPoint),
    close: async () => client.close(),
  }
}

class RestAcls implements AclProvider {
  readonly kind = 'rest'
  readonly #client: RestClient
  readonly #fileSystem: string
  readonly #top: string
  readonly #names: { readonly domain?: string }

  constructor(client: RestClient, fileSystem: string, { mountPoint, domain }: RestOptions) {
    this.#client = client
    this.#fileSystem = fileSystem
    this.#top = mountPoint.replace(/\/+$/, '')
    this.#names = domain === undefined ? {} : { domain }
  }

  /** Owner and group come from another resource, asked at the same time. */
  async read(path: string, signal: AbortSignal): Promise<StoredAcl> {
    const { answer, whose } = await this.#both(path, signal)
    try {
      const { acl, readOnly } = parseGpfsRest(answer.acl, this.#names)
      return { acl: { ...acl, ...this.#ownersOf(membersOf(whose.owner)) }, writable: readOnly.length === 0 }
    } catch (error) {
      throw unreadableAcl(error)
    }
  }

  async #both(path: string, signal: AbortSignal) {
    const done = new AbortController()
    const either = AbortSignal.any([signal, done.signal])
    try {
      const [answer, whose] = await Promise.all([
        this.#client.get({ path: this.#resource('acl', path) }, either),
        this.#client.get({ path: this.#resource('owner', path) }, either),
      ])
      return { answer, whose }
    } finally {
      // Where one has failed the other is of no use.
      done.abort()
    }
  }

  async write(path: string, acl: Acl, signal: AbortSignal): Promise<void> {
    await this.#client.put({ path: this.#resource('acl', path) }, formatGpfsRest(acl, this.#names), signal)
  }

  /** A name gets the domain; one that cannot be resolved is told as a number. */
  #ownersOf(owner: Readonly<Record<string, unknown>>): { owner: string | undefined; group: string | undefined } {
    const name = (text: string | undefined, id: unknown) => {
      if (!text) return Number.isSafeInteger(id) ? String(id) : undefined
      const { domain } = this.#names
      return domain === undefined || /[@\\]|^\d+$/.test(text) ? text : `${text}@${domain}`
    }
    return { owner: name(textOf(owner, 'user'), owner.uid), group: name(textOf(owner, 'group'), owner.gid) }
  }

  /** The path relative to the mount point as one segment, its slashes as %2F. */
  #resource(kind: 'acl' | 'owner', path: string): string {
    const isWithin = path === this.#top || path.startsWith(`${this.#top}/`)
    if (!isWithin || !path.isWellFormed() || path.includes('\0') || /\/\.{1,2}(?:\/|$)/.test(path)) {
      throw new StorageError('invalid', 'the path is not in the file system')
    }
    return `${this.#fileSystem}/${kind}/${encodeURIComponent(path.slice(this.#top.length + 1) || '/')}`
  }
}
