/** The spaces of users and groups, and how full they are. */

import { namesOf, type Path } from '../../gateway/core/path.ts'
import type { Usage } from '../backend.ts'
import { Filesets } from '../gpfs/filesets.ts'
import type { FileSystemInfo, QuotaSubject } from '../gpfs/providers.ts'
import { Quotas, tightest } from '../gpfs/quotas.ts'

export class Spaces {
  readonly #filesets: Filesets
  readonly #quotas: Quotas
  readonly #rootPath: string

  /** `rootPath`: where the mount's root lies in the file system, absolute. */
  constructor(info: FileSystemInfo, rootPath: string, log: (message: string, cause?: unknown) => void) {
    this.#filesets = new Filesets(info, [], log)
    this.#quotas = new Quotas(info, log)
    this.#rootPath = rootPath === '/' ? '' : rootPath
  }

  /** Whether a path of these names lies in a space: /user/NAME or /group/GROUP/SPACE, or below. */
  holds(kind: string | undefined, names: readonly string[]): boolean {
    return (kind === 'user' && names.length >= 1) || (kind === 'group' && names.length >= 2)
  }

  /** `whole`: of the file system, where the space has no quota. */
  async usage(path: Path, whole: Usage, signal: AbortSignal): Promise<Usage> {
    const [kind, name = '', space] = namesOf(path)
    const top = `${this.#rootPath}/${kind}/${name}${kind === 'group' ? `/${space}` : ''}`
    const subjects: QuotaSubject[] = kind === 'user' ? [{ type: 'user', name }] : []
    // A fileset linked further up holds more than this space, yet its limit ends this one too.
    const fileset = (await this.#filesets.at(top, signal))?.fileset
    if (fileset && fileset.name !== 'root') subjects.push({ type: 'fileset', name: fileset.name })
    const own = fileset?.junction === top
    if (kind === 'group' && !own) subjects.push({ type: 'group', name })
    return tightest(await this.#quotas.of(subjects, signal), whole)
  }
}
