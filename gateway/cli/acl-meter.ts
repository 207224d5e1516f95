/** How far a change of many objects is: a bar for a person at a terminal, now and then a line for a log. */

export interface TreeCounts {
  /** Objects that were come upon so far. */
  readonly found: number
  readonly done: number
  readonly refused: number
}

export interface Meter {
  show(counts: TreeCounts): void
  /** Takes the bar away, for a line of something else or for good. */
  clear(): void
}

const width = 30
/** Milliseconds between two bars. */
const interval = 100
/** Objects between two lines. */
const step = 1000

/** Writes to standard error. */
export function treeMeter(label: string, isTerminal = process.stderr.isTTY === true): Meter {
  let drawn = 0
  let told = 0
  let visible = false
  return {
    show(counts) {
      if (isTerminal) {
        const now = performance.now()
        if (now - drawn < interval) return
        drawn = now
        visible = true
        process.stderr.write(`\r\x1b[K${label} ${bar(counts)} ${textOf(counts)}`)
      } else if (counts.done + counts.refused >= told + step) {
        told += step
        process.stderr.write(`${label}: ${textOf(counts)}\n`)
      }
    },
    clear() {
      if (visible) process.stderr.write('\r\x1b[K')
      visible = false
    },
  }
}

function textOf({ found, done, refused }: TreeCounts): string {
  return `${done} of ${found} found${refused > 0 ? `, ${refused} refused` : ''}`
}

function bar({ found, done, refused }: TreeCounts): string {
  const full = found === 0 ? 0 : Math.floor((done / found) * width)
  const gone = found === 0 ? 0 : Math.min(width - full, Math.ceil((refused / found) * width))
  return `[${'#'.repeat(full)}${'x'.repeat(gone)}${'-'.repeat(width - full - gone)}]`
}
