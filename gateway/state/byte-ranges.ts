/** What an owner has of a file after taking or giving back a part of it (fcntl(2), "Advisory record locking"). */

/** `end` is exclusive; the largest safe integer stands for the end of all files. */
export interface Held {
  readonly start: number
  readonly end: number
  readonly type: 'shared' | 'exclusive'
}

export type Span = Pick<Held, 'start' | 'end'>

export function overlaps(a: Span, b: Span): boolean {
  return a.start < b.end && b.start < a.end
}

/** Whether two owners cannot have both. */
export function isConflict(a: Held, b: Held): boolean {
  return overlaps(a, b) && (a.type === 'exclusive' || b.type === 'exclusive')
}

/** Without that part: what lies across its ends is cut, what lies around it is split. */
export function without(held: readonly Held[], part: Span): Held[] {
  return held.flatMap((one) => {
    if (!overlaps(one, part)) return [one]
    const before = one.start < part.start ? [{ ...one, end: part.start }] : []
    const behind = one.end > part.end ? [{ ...one, start: part.end }] : []
    return [...before, ...behind]
  })
}

/** With that part, whatever it was before; neighbours of one type are one. */
export function including(held: readonly Held[], part: Held): Held[] {
  const sorted = [...without(held, part), part].toSorted((a, b) => a.start - b.start)
  const joined: Held[] = []
  for (const { start, end, type } of sorted) {
    const last = joined.at(-1)
    if (last && last.end === start && last.type === type) joined[joined.length - 1] = { start: last.start, end, type }
    else joined.push({ start, end, type })
  }
  return joined
}
