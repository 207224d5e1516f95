/** HTTP third-party copy (user guide, WebDAV, "Third-party transfers"). */

import type { DoorCall } from './door.ts'
import { Failure } from './failure.ts'
import type { Answer } from './serving.ts'

export async function thirdPartyCopy(_call: DoorCall): Promise<Answer> {
  throw new Failure('unsupported', 'not yet')
}
