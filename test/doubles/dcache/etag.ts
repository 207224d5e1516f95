/** What doors say of an object in headers. */

import type { Node } from './tree.ts'

/** PNFS-ID and a hash of the modification time, so another one after every upload. */
export function etagOf(node: Node): string {
  const ms = BigInt(Math.trunc(node.modified))
  return `"${node.pnfsId}_${BigInt.asIntN(32, ms ^ (ms >> 32n))}"`
}
