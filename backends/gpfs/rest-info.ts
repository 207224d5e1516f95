/** What the management API tells of a file system: settings, filesets, quotas, snapshots. */

import { numericId } from '../../acl/who.ts'
import { brokenAnswer } from './failures.ts'
import { numberOf } from './lines.ts'
import type {
  FileSystemInfo,
  FileSystemSettings,
  Fileset,
  Quota,
  QuotaNumbers,
  QuotaSubject,
  Snapshot,
} from './providers.ts'
import {
  absolutePath,
  checkName,
  chosenQuota,
  onThisMachine,
  quotaTypes,
  semanticsOf,
  snapshotTime,
} from './quantities.ts'
import { type Members, textOf } from './rest-answers.ts'
import type { RestClient } from './rest-client.ts'

const all = { fields: ':all:' }
const kibibyte = 1024

export class RestInfo implements FileSystemInfo {
  readonly #client: RestClient
  readonly #path: string
  readonly #mountPoint: string

  constructor(client: RestClient, path: string, mountPoint: string) {
    this.#client = client
    this.#path = path
    this.#mountPoint = mountPoint
  }

  async settings(signal: AbortSignal): Promise<FileSystemSettings> {
    const [found] = await this.#client.list({ path: this.#path, query: all }, 'filesystems', signal)
    const parts = Object.values(found ?? {}).filter(isObject)
    const mount = found && isObject(found.mount) ? found.mount : {}
    return {
      aclSemantics: semanticsOf(parts.map((part) => textOf(part, 'ACLSemantics')).find((text) => text !== undefined)),
      mountPoint: absolutePath(textOf(mount, 'mountPoint')),
    }
  }

  async filesets(signal: AbortSignal): Promise<readonly Fileset[]> {
    const objects = await this.#client.list({ path: `${this.#path}/filesets`, query: all }, 'filesets', signal)
    const found: Fileset[] = []
    for (const object of objects) {
      // Members stand in `config`, or in the object itself, by release.
      const whole: Members = { ...object, ...(isObject(object.config) ? object.config : {}) }
      const junction = absolutePath(textOf(whole, 'path'))
      if (junction === undefined || whole.status === 'Unlinked') continue
      found.push({ name: named(whole, 'filesetName'), junction, independent: isTrue(whole.isInodeSpaceOwner) })
    }
    return onThisMachine(found, this.#mountPoint)
  }

  async quotas(subject: QuotaSubject, signal: AbortSignal): Promise<Quota | undefined> {
    const name = checkName(subject.name, 'a user, group or fileset')
    const within = subject.fileset === undefined ? '' : `/filesets/${encoded(subject.fileset, 'a fileset')}`
    const key = subject.type !== 'fileset' && numericId(name) !== undefined ? 'objectId' : 'objectName'
    const type = quotaTypes[subject.type]
    const query = { ...all, filter: `${key}=${name},quotaType=${type}` }
    const objects = await this.#client.list({ path: `${this.#path}${within}/quotas`, query }, 'quotas', signal)
    // A filter that was not understood gives everything.
    const ours = objects.filter((each) => each.quotaType === type && String(each[key]) === name)
    const chosen = chosenQuota(ours, subject, (each) => textOf(each, 'filesetName') ?? '')
    return chosen && { bytes: numbersOf(chosen, 'block', kibibyte), files: numbersOf(chosen, 'files', 1) }
  }

  async snapshots(fileset: string | undefined, signal: AbortSignal): Promise<readonly Snapshot[]> {
    const within = fileset === undefined ? '' : `/filesets/${encoded(fileset, 'a fileset')}`
    const path = `${this.#path}${within}/snapshots`
    const objects = await this.#client.list({ path, query: all }, 'snapshots', signal)
    const ours = objects.filter(
      (each) => each.status === 'Valid' && (textOf(each, 'filesetName') ?? '') === (fileset ?? ''),
    )
    return ours.map((each) => ({ name: named(each, 'snapshotName'), created: snapshotTime(named(each, 'created')) }))
  }
}

function encoded(name: string, what: string): string {
  return encodeURIComponent(checkName(name, what))
}

function named(members: Members, name: string): string {
  const text = textOf(members, name)
  if (!text) throw brokenAnswer(`${name} is missing`)
  return text
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isTrue(value: unknown): boolean {
  return value === true || value === 1 || value === 'true' || value === 'yes'
}

/** Usage and limits, as numbers or digits; a limit of 0 is none. */
function numbersOf(quota: Members, kind: 'block' | 'files', factor: number): QuotaNumbers {
  const number = (what: string) => {
    const value = quota[`${kind}${what}`]
    return numberOf(typeof value === 'number' || typeof value === 'string' ? String(value) : '', factor)
  }
  return {
    used: number('Usage'),
    softLimit: number('Quota') || undefined,
    hardLimit: number('Limit') || undefined,
    inDoubt: number('InDoubt'),
  }
}
