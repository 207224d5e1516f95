/** docs/identity.md as an administrator uses it: its pieces of YAML are one configuration. */

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

const page = readFileSync(resolve(import.meta.dirname, '../../docs/identity.md'), 'utf8')

/** All pieces, one below the other. */
export function configurationOfPage(): string {
  return [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, piece = '']) => piece).join('\n')
}

/** With the names of a site in the place of those of the page; each of these must be there. */
export function adapted(text: string, changes: Readonly<Record<string, string>>): string {
  let changed = text
  for (const [from, to] of Object.entries(changes)) {
    if (!changed.includes(from)) throw new Error(`the page does not hold ${from}`)
    changed = changed.replaceAll(from, to)
  }
  return changed
}

/** The rules that the page names in its table and its list, as `whoami`, `explain` and the audit log write them. */
export function rulesOfPage(): ReadonlySet<string> {
  const prose = page.replace(/^```.*\n[\s\S]*?^```/gm, '')
  return new Set([...prose.matchAll(/`([a-z]+(?:-[a-z]+)+)`/g)].map(([, rule = '']) => rule))
}
