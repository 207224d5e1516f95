/** Operations that kill the process, as `kill -9` does, at the step named in the environment. */

import type { Operations } from '../../backends/posix/io/protocol.ts'
import { createOperations as createReal, type PosixSetup, type Step } from '../../backends/posix/operations.ts'
import { createOperations as createPoor } from './crash-unnamed.ts'

export function createOperations(setup: PosixSetup): Operations {
  const create = process.env.PORTOLAN_TEST_UNNAMED === 'no' ? createPoor : createReal
  return create(setup, (step: Step) => {
    if (process.env.PORTOLAN_TEST_DIE_AT === step) process.kill(process.pid, 'SIGKILL')
  })
}
