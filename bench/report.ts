/** A figure, what it is held against, and how it is printed. */

export interface Figure {
  readonly what: string
  readonly value: number
  readonly unit: string
  /** Smallest (or largest) value that reaches the goal. */
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number }
  /** The raw figures behind a ratio, by server. */
  readonly raw?: Readonly<Record<string, number>>
}

export function reached({ value, goal }: Figure): boolean | undefined {
  if (!goal) return undefined
  return 'atLeast' in goal ? value >= goal.atLeast : value <= goal.atMost
}

export function print(figures: readonly Figure[]): void {
  for (const figure of figures) {
    const { what, value, unit, goal, raw } = figure
    const bound = goal ? ('atLeast' in goal ? `goal >= ${goal.atLeast}` : `goal <= ${goal.atMost}`) : ''
    const verdict = { true: 'reached', false: 'MISSED', undefined: '' }[
      String(reached(figure)) as 'true' | 'false' | 'undefined'
    ]
    const details = Object.entries(raw ?? {}).map(([name, number]) => `${name} ${format(number)}`)
    console.log(
      [what.padEnd(64), `${format(value)} ${unit}`.padEnd(16), bound.padEnd(14), verdict, details.join(', ')].join(' '),
    )
  }
}

function format(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}
