/** A played GPFS for the tests of its providers. */

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type CommandOptions, scaleByCommands } from '../../backends/gpfs/commands.ts'
import type { Scale } from '../../backends/gpfs/providers.ts'
import { GpfsDouble, type GpfsSettings } from '../doubles/gpfs/gpfs.ts'

/** A signal that is never raised. */
export const calm = new AbortController().signal

export interface World {
  readonly double: GpfsDouble
  /** The tree. */
  readonly top: string
  readonly directory: string
  /** Storage Scale by the commands of the double, closed at the end of the test. */
  scale(options?: Partial<CommandOptions>): Scale
}

export async function makeWorld(t: Test, settings: Partial<GpfsSettings> = {}): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-gpfs-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const top = join(directory, 'tree')
  await mkdir(top)
  const names = {
    passwd: { [String(process.getuid?.())]: 'keeper' },
    group: { [String(process.getgid?.())]: 'keepers' },
  }
  const double = await GpfsDouble.make(join(directory, 'double'), {
    fileSystem: 'gpfs0',
    mountPoint: top,
    names,
    ...settings,
  })
  const scale = (options: Partial<CommandOptions> = {}) => {
    const made = scaleByCommands({ fileSystem: 'gpfs0', directory: double.bin, ...options })
    t.teardown(() => made.close())
    return made
  }
  return { double, top, directory, scale }
}

/** A quota with nothing used and no limits. */
export const noQuota = {
  blockUsage: 0,
  blockQuota: 0,
  blockLimit: 0,
  blockInDoubt: 0,
  filesUsage: 0,
  filesQuota: 0,
  filesLimit: 0,
  filesInDoubt: 0,
} as const
