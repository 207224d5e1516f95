/** Which start of this machine the gateway runs in. */

import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'

/**
 * Names it, the same from all processes that have the key and another text after the machine was started anew. The name
 * of the kernel cannot be told from it. Undefined where the kernel gives its starts no names.
 */
export function bootOf(key: Uint8Array, file = '/proc/sys/kernel/random/boot_id'): string | undefined {
  try {
    const id = readFileSync(file, 'latin1').trim()
    return createHmac('sha256', key).update(`start of a machine ${id}`).digest('base64url')
  } catch {
    // No Linux, or nothing of it is shown here.
    return undefined
  }
}
