/** Operations during which somebody else changes the attributes of the file `f`, twice, as late as can be before it is replaced. */

import { chmodSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Operations } from '../../backends/posix/io/protocol.ts'
import { createOperations as create, type PosixSetup, type Step } from '../../backends/posix/operations.ts'

export function createOperations(setup: PosixSetup): Operations {
  let left = 2
  return create(setup, (step: Step) => {
    if (step !== 'linked' || left-- <= 0) return
    const file = join(String(setup.root), 'f')
    const changed = () => statSync(file, { bigint: true }).ctimeNs
    for (const before = changed(); changed() === before; ) chmodSync(file, 0o640)
  })
}
