/** What mmlsfs, mmlsfileset, mmlsquota and mmlssnapshot tell of a file system, by their -Y output. */

import { brokenAnswer } from './failures.ts'
import { numberOf, parseLines, type Row } from './lines.ts'
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
import type { Command, Runner } from './running.ts'

/** Bytes of output accepted for a list: some 50,000 filesets. */
const listLimit = 32 * 1024 * 1024

const kibibyte = 1024

export class CommandInfo implements FileSystemInfo {
  readonly #runner: Runner
  readonly #device: string
  readonly #mountPoint: string | undefined

  constructor(runner: Runner, fileSystem: string, mountPoint: string | undefined) {
    this.#runner = runner
    this.#mountPoint = mountPoint
    this.#device = checkName(fileSystem, 'a file system')
  }

  async settings(signal: AbortSignal): Promise<FileSystemSettings> {
    const rows = await this.#list('mmlsfs', [this.#device, '-k', '-T', '-Y'], signal)
    const value = (name: string) => rows.find((row) => row.find('fieldName') === name)?.find('data')
    return { aclSemantics: semanticsOf(value('ACLSemantics')), mountPoint: absolutePath(value('defaultMountPoint')) }
  }

  async filesets(signal: AbortSignal): Promise<readonly Fileset[]> {
    const rows = await this.#list('mmlsfileset', [this.#device, '-L', '-Y'], signal)
    const found: Fileset[] = []
    for (const row of rows) {
      const junction = absolutePath(row.find('path'))
      // An unlinked one is nowhere in the tree, and one whose path is not UTF-8 is where no path of ours leads.
      if (row.text('status') !== 'Linked' || junction === undefined) continue
      found.push({ name: row.text('filesetName'), junction, independent: row.text('isInodeSpaceOwner') === '1' })
    }
    return onThisMachine(found, this.#mountPoint)
  }

  async quotas(subject: QuotaSubject, signal: AbortSignal): Promise<Quota | undefined> {
    const name = checkName(subject.name, 'a user, group or fileset')
    const fileset = subject.fileset === undefined ? '' : `:${checkName(subject.fileset, 'a fileset')}`
    const option = { user: '-u', group: '-g', fileset: '-j' }[subject.type]
    const device = subject.type === 'fileset' ? this.#device : `${this.#device}${fileset}`
    const rows = await this.#list('mmlsquota', [option, name, '-Y', device], signal)
    const ours = rows.filter(
      (row) =>
        row.text('quotaType') === quotaTypes[subject.type] &&
        (row.find('name') === name || row.find('id') === name) &&
        (row.find('quota') ?? 'on') !== 'off',
    )
    const row = chosenQuota(ours, subject, (each) => each.find('filesetname') ?? '')
    return row && { bytes: numbersOf(row, 'block', kibibyte), files: numbersOf(row, 'files', 1) }
  }

  async snapshots(fileset: string | undefined, signal: AbortSignal): Promise<readonly Snapshot[]> {
    const rows = await this.#list('mmlssnapshot', [this.#device, '-Y'], signal, 'may be empty')
    const ours = rows.filter((row) => row.text('status') === 'Valid' && row.text('fileset') === (fileset ?? ''))
    return ours.map((row) => ({ name: row.text('directory'), created: snapshotTime(row.text('created')) }))
  }

  async #list(
    command: Command,
    args: readonly string[],
    signal: AbortSignal,
    emptiness: 'has a header' | 'may be empty' = 'has a header',
  ): Promise<Row[]> {
    const output = await this.#runner.run(command, args, { limit: listLimit, signal })
    const rows = parseLines(command, output.toString('utf8'))
    if (rows) return rows
    // Without snapshots mmlssnapshot says so in one line of words.
    if (emptiness === 'may be empty' && output.length < 1024 && output.indexOf(0x0a) === output.length - 1) return []
    throw brokenAnswer(`the output of ${command} has no header`)
  }
}

/** Usage and limits; a limit of 0 is none. */
function numbersOf(row: Row, kind: 'block' | 'files', factor: number): QuotaNumbers {
  const number = (what: string) => numberOf(row.text(`${kind}${what}`), factor)
  return {
    used: number('Usage'),
    softLimit: number('Quota') || undefined,
    hardLimit: number('Limit') || undefined,
    inDoubt: number('InDoubt'),
  }
}
