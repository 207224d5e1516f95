/** Without a state store there are no byte-range locks. */

import { StorageError } from '../errors.ts'
import type { ByteLockOperations } from './operations.ts'

const unavailable = (): never => {
  throw new StorageError('unsupported', 'this gateway keeps no locks')
}

export const noByteLocks: ByteLockOperations = {
  available: false,
  onLost: () => {},
  test: async () => unavailable(),
  acquire: async () => unavailable(),
  release: async () => {},
  releaseAll: async () => {},
  adopt: async () => 0,
}
