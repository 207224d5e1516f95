/** Names that are given to what is made here. */

import { randomBytes } from 'node:crypto'

/** As many bytes of chance in base64url; never with a dash in front, which a command line would take for an option. */
export function newId(bytes: number): string {
  for (;;) {
    const id = randomBytes(bytes).toString('base64url')
    if (!id.startsWith('-')) return id
  }
}
