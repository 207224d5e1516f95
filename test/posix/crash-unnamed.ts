/** The operations of a file system that has no files without a name. */

import type { CreateToEditArgs } from '../../backends/posix/editing/acts.ts'
import type { Operations } from '../../backends/posix/io/protocol.ts'
import { createOperations as createReal, type PosixSetup, type Step } from '../../backends/posix/operations.ts'
import type { StageArgs } from '../../backends/posix/staging.ts'

export function createOperations(setup: PosixSetup, step?: (step: Step) => void): Operations {
  const real = createReal(setup, step)
  const stage = real.stage as (args: StageArgs, ids: unknown) => unknown
  const poor = (args: StageArgs, ids: unknown) =>
    args.hidden === undefined ? { unnamed: 'unsupported' } : stage(args, ids)
  const create = real.createToEdit as (args: CreateToEditArgs, ids: unknown) => unknown
  const openly = (args: CreateToEditArgs, ids: unknown) => (args.acl ? { unnamed: 'unsupported' } : create(args, ids))
  return { ...real, stage: poor, createToEdit: openly } as unknown as Operations
}
