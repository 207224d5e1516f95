/** litmus, the test suite for WebDAV servers (Debian's package litmus). */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { password } from '../gateway/people.ts'

export const suites = ['basic', 'copymove', 'props', 'locks', 'http'] as const

/** Why it cannot run here, or false. For `skip`. */
export function noLitmus(): string | false {
  return spawnSync('which', ['litmus']).status !== 0 && 'needs litmus (Debian: litmus)'
}

export interface Outcome {
  readonly summaries: readonly string[]
  /** Lines of tests that failed or warned. */
  readonly complaints: readonly string[]
}

/** One run against a collection, as alice. litmus writes its log where it is. */
export async function litmus(url: string, names: readonly string[] = suites): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-litmus-'))
  try {
    const child = spawn('litmus', ['-k', url, 'alice', password], {
      cwd: directory,
      env: { PATH: process.env.PATH, TESTS: names.join(' ') },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [out] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    // Progress is written over itself.
    const lines = out.split(/[\r\n]+/).map((line) => line.trim())
    return {
      summaries: lines.filter((line) => line.includes('summary for')),
      complaints: lines.filter((line) => /FAIL|WARNING|SKIPPED/.test(line)),
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
