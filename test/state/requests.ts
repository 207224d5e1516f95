/** Requests for the tests of the staging queue's memory. */

import { join, parsePath } from '../../gateway/core/path.ts'
import type { NewStagedFile, NewStaging, StagingOrder } from '../../gateway/state/state.ts'

const mount = parsePath('/pnfs')

export interface Wanted {
  readonly claim?: string
  readonly principal?: string
  readonly counted?: string
  readonly lasting?: boolean
  readonly files?: number
  readonly state?: NewStagedFile['state']
}

export function request({
  claim = 'c',
  principal = 'alice',
  counted = principal,
  lasting = false,
  files = 3,
  state = 'submitted',
}: Wanted = {}): NewStaging & { readonly orders: readonly [Pick<StagingOrder, 'mount' | 'backend'>] } {
  return {
    principal,
    counted,
    claim,
    lasting,
    fingerprint: 'print',
    files: Array.from({ length: files }, (_, index) => ({
      path: join(mount, `f${index}`),
      inner: parsePath(`/f${index}`),
      mount,
      lifetime: index === 0 ? 3600 : undefined,
      state,
      outside: false,
      error: undefined,
    })),
    orders: [{ mount, backend: 'memory' }],
  }
}
