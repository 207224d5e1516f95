/** How many of many are done: a bar for a person at a terminal, plain lines for a log. */

export interface Counts {
  readonly total: number
  readonly ready: number
  /** Those that will not come. */
  readonly lost: number
}

export interface Counter {
  show(counts: Counts): void
  /** Takes the bar away. */
  end(): void
}

const width = 30

/** Writes to standard error. Lines are written when something has changed. */
export function counter(label: string, isTerminal = process.stderr.isTTY === true): Counter {
  let last = ''
  return {
    show(counts) {
      const text = textOf(counts)
      if (isTerminal) process.stderr.write(`\r\x1b[K${label} ${bar(counts)} ${text}`)
      else if (text !== last) process.stderr.write(`${label}: ${text}\n`)
      last = text
    },
    end() {
      if (isTerminal && last !== '') process.stderr.write('\r\x1b[K')
    },
  }
}

function textOf({ total, ready, lost }: Counts): string {
  return `${ready} of ${total} on disk${lost > 0 ? `, ${lost} not to come` : ''}`
}

function bar({ total, ready, lost }: Counts): string {
  const full = total === 0 ? width : Math.floor((ready / total) * width)
  const gone = total === 0 ? 0 : Math.min(width - full, Math.ceil((lost / total) * width))
  return `[${'#'.repeat(full)}${'x'.repeat(gone)}${'-'.repeat(width - full - gone)}]`
}
