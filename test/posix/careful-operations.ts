/** Operations that do a part of what they are asked for, as where a process dies or a file system does less. */

import type { Operations } from '../../backends/posix/io/protocol.ts'
import type { WriteAttributesArgs } from '../../backends/posix/keeping.ts'
import { createOperations as createReal, type PosixSetup } from '../../backends/posix/operations.ts'
import { StorageError } from '../../gateway/core/errors.ts'

export function createOperations(setup: PosixSetup): Operations {
  const real = createReal(setup)
  const all = real.writeAttributes as (args: WriteAttributesArgs, ids: unknown) => unknown
  const first = (args: WriteAttributesArgs, ids: unknown) => {
    const outcome = all({ ...args, values: args.values.slice(0, 1) }, ids)
    if (args.values.length > 1) throw new StorageError('unavailable', 'it died here')
    return outcome
  }
  return { ...real, writeAttributes: first, copyBytes: () => 0 } as unknown as Operations
}
