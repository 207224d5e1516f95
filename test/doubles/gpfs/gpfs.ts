/**
 * A file system of IBM Storage Scale that is only played: a directory of stand-ins for its commands (mm.mjs) that
 * work on an ordinary tree. For tests and for the demo.
 */

import { appendFile, chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'

export interface GpfsSettings {
  readonly fileSystem: string
  /** The ordinary tree that plays the mounted file system. */
  readonly mountPoint: string
  /** The -k setting. Default nfs4. */
  readonly aclSemantics?: 'nfs4' | 'posix' | 'all'
  /** Without `path`: not linked. The root fileset is always there. */
  readonly filesets?: ReadonlyArray<{
    readonly name: string
    readonly path?: string
    readonly independent?: boolean
    readonly comment?: string
  }>
  /** Numbers in KiB and files, as in the columns of mmlsquota -Y. */
  readonly quotas?: readonly GpfsQuota[]
  /** `created` as Date takes it; `fileset` absent: of the whole file system. */
  readonly snapshots?: ReadonlyArray<{
    readonly name: string
    readonly created: string
    readonly fileset?: string
    readonly status?: string
  }>
  /** Names of ids, before those of the machine. */
  readonly names?: {
    readonly passwd?: Readonly<Record<string, string>>
    readonly group?: Readonly<Record<string, string>>
  }
  /** Names that mmputacl does not know. */
  readonly unknownNames?: readonly string[]
}

export interface GpfsQuota {
  readonly quotaType: 'USR' | 'GRP' | 'FILESET'
  readonly id: number
  readonly name: string
  readonly blockUsage: number
  readonly blockQuota: number
  readonly blockLimit: number
  readonly blockInDoubt: number
  readonly filesUsage: number
  readonly filesQuota: number
  readonly filesLimit: number
  readonly filesInDoubt: number
  readonly quota?: 'on' | 'off'
  readonly filesetname?: string
}

export const commandNames = ['mmgetacl', 'mmputacl', 'mmlsquota', 'mmlsfileset', 'mmlssnapshot', 'mmlsfs'] as const
export type CommandName = (typeof commandNames)[number]

/** What goes wrong with a command. */
export interface Fault {
  /** How many calls it is about; all if absent. */
  readonly times?: number
  /** Never ends. */
  readonly hang?: boolean
  /** Printed instead of an answer. */
  readonly garbage?: string
  /** The same as bytes. */
  readonly hex?: string
  /** Printed before the answer. */
  readonly noise?: string
  /** Characters after which the answer is cut off. */
  readonly cutAt?: number
  /** Bytes printed instead of an answer. */
  readonly flood?: number
  readonly stderr?: string
  readonly exit?: number
  /** Ends by it after the answer. */
  readonly signal?: 'SIGTERM' | 'SIGKILL'
  /** What others do before and after it has looked. */
  readonly before?: readonly Act[]
  readonly after?: readonly Act[]
}

export interface Act {
  readonly rename?: readonly [from: string, to: string]
  readonly setAcl?: readonly [path: string, text: string]
}

export interface Called {
  readonly command: CommandName
  readonly args: readonly string[]
  readonly locale: string
  /** Names of its environment. */
  readonly environment: readonly string[]
}

/** A file system that is played from `directory`, which must not be inside its tree. */
export class GpfsDouble {
  /** Where the commands are. */
  readonly bin: string
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
    this.bin = join(directory, 'bin')
  }

  /** Makes the directory and what is in it; the same again with other settings keeps the ACLs that were set. */
  static async make(directory: string, settings: GpfsSettings): Promise<GpfsDouble> {
    const double = new GpfsDouble(resolve(directory))
    await mkdir(double.bin, { recursive: true })
    await double.settle(settings)
    const program = join(import.meta.dirname, 'mm.mjs')
    for (const name of commandNames) {
      const file = join(double.bin, name)
      const words = [process.execPath, program, double.#directory, name].map(quoted).join(' ')
      await writeFile(file, `#!/bin/sh\nexec ${words} "$@"\n`)
      await chmod(file, 0o755)
    }
    return double
  }

  /** Other settings from now on. */
  async settle(settings: GpfsSettings): Promise<void> {
    const root = { name: 'root', path: settings.mountPoint, independent: true, comment: 'root fileset' }
    const { filesets = [], quotas = [], snapshots = [], aclSemantics = 'nfs4' } = settings
    const whole = { ...settings, aclSemantics, quotas, snapshots, filesets: [root, ...filesets] }
    await writeFile(join(this.#directory, 'settings.json'), JSON.stringify(whole))
  }

  /** What goes wrong from now on; nothing else does. */
  async fail(faults: Partial<Record<CommandName, Fault>>): Promise<void> {
    await writeFile(join(this.#directory, 'faults.json'), JSON.stringify(faults))
  }

  /** The calls so far. */
  async calls(): Promise<readonly Called[]> {
    await appendFile(join(this.#directory, 'calls'), '')
    const text = await readFile(join(this.#directory, 'calls'), 'utf8')
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Called)
  }

  /** Forgets the calls so far. */
  async forgetCalls(): Promise<void> {
    await rm(join(this.#directory, 'calls'), { force: true })
  }
}

/** A word for a shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}
