/** A file system that cannot refuse to replace, as NFS: the draft's hidden name stays beside the new one. Afterwards it is out of reach. */

import type { Operations } from '../../backends/posix/io/protocol.ts'
import { createOperations as createReal, type PosixSetup, type Step } from '../../backends/posix/operations.ts'
import type { PublishArgs, Published } from '../../backends/posix/staging.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { createOperations as createPoor } from '../posix/crash-unnamed.ts'

export function createOperations(setup: PosixSetup, step?: (step: Step) => void): Operations {
  const real = createReal(setup, step)
  const poor = createPoor(setup, step)
  const publish = real.publish as (args: PublishArgs, ids: unknown) => Published
  const look = real.look as (args: unknown, ids: unknown) => unknown
  let isGone = false
  const beside = (args: PublishArgs, ids: unknown) => {
    const published = publish(args, ids)
    isGone = true
    return { ...published, twoNames: true }
  }
  const lost = (args: unknown, ids: unknown) => {
    if (isGone) throw new StorageError('unavailable', 'the server does not answer')
    return look(args, ids)
  }
  return { ...real, stage: poor.stage, publish: beside, look: lost } as unknown as Operations
}
