/** The operations of a file system that has no files without a name. */

import type { Operations } from '../../backends/posix/io/protocol.ts'
import { createOperations as createReal, type PosixSetup, type Step } from '../../backends/posix/operations.ts'
import type { StageArgs } from '../../backends/posix/staging.ts'

export function createOperations(setup: PosixSetup, step?: (step: Step) => void): Operations {
  const real = createReal(setup, step)
  const stage = real.stage as (args: StageArgs, ids: unknown) => unknown
  const poor = (args: StageArgs, ids: unknown) =>
    args.hidden === undefined ? { unnamed: 'unsupported' } : stage(args, ids)
  return { ...real, stage: poor } as unknown as Operations
}
