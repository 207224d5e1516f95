/** Whether those that would wait for byte-range locks wait for each other. */

import { inTheWay, keyOf, type LiveRow } from './byte-lock-line.ts'
import type { ByteLockRow } from './byte-lock-table.ts'

/** How long a chain of those that wait for each other may be (Linux looks as far). */
const longestChain = 10
/** Of more owners nobody asks: who made a net of thousands would have everybody wait for the answer. */
const mostOwners = 256

/** What a search may ask. */
export interface LockView {
  /** All locks and wishes of an object. */
  rowsOf(object: ByteLockRow): Promise<readonly LiveRow[]>
  /** What an owner waits for. */
  wishesOf(owner: ByteLockRow): Promise<readonly ByteLockRow[]>
}

/** Whether those in the way wait, for others or through them, for the one who wishes. Of flock(2) nobody asks. */
export async function isCircle(wish: ByteLockRow, view: LockView): Promise<boolean> {
  if (wish.kind !== 'posix') return false
  const known = new Map<string, readonly LiveRow[]>()
  const rowsOf = async (object: ByteLockRow) => {
    const key = `${object.realm}\0${object.object}`
    const rows = known.get(key) ?? (await view.rowsOf(object))
    known.set(key, rows)
    return rows
  }
  const me = keyOf(wish)
  const seen = new Set<string>()
  let wishes: readonly ByteLockRow[] = [wish]
  for (let depth = 0; depth < longestChain && wishes.length > 0; depth++) {
    const next: ByteLockRow[] = []
    for (const each of wishes) {
      for (const other of inTheWay(await rowsOf(each), each)) {
        const key = keyOf(other)
        if (key === me) return true
        if (!other.alive || seen.has(key)) continue
        if (seen.size === mostOwners) return false
        seen.add(key)
        next.push(...(await view.wishesOf(other)))
      }
    }
    wishes = next
  }
  return false
}
