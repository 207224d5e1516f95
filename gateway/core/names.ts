/** The order of names by their UTF-8 bytes. */

/**
 * Compares as the UTF-8 bytes would. JavaScript's own order is by UTF-16 units, where the surrogates of
 * the high planes come before U+E000 to U+FFFF; in UTF-8 they come after.
 */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at)
    const y = b.charCodeAt(at)
    if (x !== y) return rank(x) - rank(y)
  }
  return a.length - b.length
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}
