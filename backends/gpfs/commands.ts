/** Storage Scale by its commands on this machine: mmgetacl, mmputacl, and those that list (command-info.ts). */

import type { Acl } from '../../acl/acl.ts'
import { formatGpfsText, type GpfsOptions, parseGpfsText } from '../../acl/codec/gpfs-text.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { HeldObject } from '../posix/path-acls.ts'
import { CommandInfo } from './command-info.ts'
import { brokenAnswer, unreadableAcl } from './failures.ts'
import type { AclProvider, Scale, StoredAcl } from './providers.ts'
import { Runner, type RunnerOptions } from './running.ts'

export interface CommandOptions extends RunnerOptions {
  /** Name of the file system, as in `mmlsfs NAME`. */
  readonly fileSystem: string
  /** Where it is mounted on this machine; where Scale says if absent. */
  readonly mountPoint?: string | undefined
  /** NFSv4 domain of plain names in ACLs. */
  readonly domain?: string | undefined
}

/** Bytes of output accepted for one ACL: more than GPFS can keep, so that one too long can be told from an answer without end. */
const aclLimit = 4 * 1024 * 1024

/** Storage Scale by its commands. Nothing is run before it is asked. Throws `invalid` for a name that is no file system's. */
export function scaleByCommands(options: CommandOptions): Scale {
  const runner = new Runner(options)
  return {
    acls: new CommandAcls(runner, options.domain === undefined ? {} : { domain: options.domain }),
    info: new CommandInfo(runner, options.fileSystem, options.mountPoint),
    close: async () => runner.close(),
  }
}

class CommandAcls implements AclProvider {
  readonly kind = 'commands'
  readonly #runner: Runner
  readonly #names: GpfsOptions

  constructor(runner: Runner, names: GpfsOptions) {
    this.#runner = runner
    this.#names = names
  }

  async read(path: string, signal: AbortSignal): Promise<StoredAcl> {
    const args = ['-k', 'nfs4', argument(path)]
    const output = await this.#runner.run('mmgetacl', args, { limit: aclLimit, signal })
    return storedAcl(output, this.#names)
  }

  async write(path: string, acl: Acl, signal: AbortSignal): Promise<void> {
    const input = this.#textOf(acl)
    await this.#runner.run('mmputacl', [argument(path)], { input, limit: aclLimit, signal })
  }

  /** gpfs_putacl is given the path as it is, and the kernel follows it to the object (proc_pid_fd(5)). */
  async writeHeld(object: HeldObject, acl: Acl, signal: AbortSignal): Promise<void> {
    let input: string
    try {
      input = this.#textOf(acl)
    } catch (error) {
      object.release()
      throw error
    }
    await this.#runner.run('mmputacl', [], { input, limit: aclLimit, signal, object })
  }

  #textOf(acl: Acl): string {
    // Owner and group are comments to mmputacl.
    return formatGpfsText({ ...acl, owner: undefined, group: undefined }, this.#names)
  }
}

/** The synopsis of both commands knows no "--", so a path must begin with "/"; a NUL would end it early. */
function argument(path: string): string {
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new StorageError('invalid', 'commands are given absolute paths only')
  }
  return path
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function storedAcl(output: Buffer, names: GpfsOptions): StoredAcl {
  // A list that ends with a whole entry looks whole; at least its last line must be.
  if (output.at(-1) !== 0x0a) throw brokenAnswer('the ACL text is cut off')
  try {
    const { acl, readOnly } = parseGpfsText(decoder.decode(output), names)
    return { acl, writable: readOnly.length === 0 }
  } catch (error) {
    throw unreadableAcl(error)
  }
}
