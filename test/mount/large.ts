/** Directories with very many entries, for mounts that must list them. */

import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestMount } from '../gateway/harness.ts'
import { asRoot, users } from '../gateway/people.ts'

/** A tree whose modes are its ACLs, at /big: `many` holds so many empty files that everybody may see. */
export function bigMount(entries: number): TestMount {
  return { path: '/big', make: (top) => makeBig(top, entries), backend: { acl: ['posix'], sync: 'never' } }
}

function makeBig(top: string, entries: number): void {
  const many = join(top, 'many')
  mkdirSync(many, { recursive: true })
  for (let index = 0; index < entries; index++) writeFileSync(join(many, nameOf(index)), '')
  for (const directory of [top, many]) {
    chmodSync(directory, 0o755)
    if (asRoot) chownSync(directory, users.alice.uid, users.alice.gid)
  }
}

export function nameOf(index: number): string {
  return `event-${String(index).padStart(8, '0')}.h5`
}
