/** litmus, the test suite for WebDAV servers, against gateways in both grades. */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { noNative, startTestGateway } from '../gateway/harness.ts'
import { password } from '../gateway/people.ts'
import { Guarded, Owned, openToAll, ownerOnly } from '../gateway/tree.ts'

t.setTimeout(180_000)

const suites = ['basic', 'copymove', 'props', 'locks', 'http']
const missing = spawnSync('which', ['litmus']).status !== 0 && 'needs litmus (Debian: litmus)'

interface Outcome {
  readonly summaries: readonly string[]
  /** Lines of tests that failed or warned. */
  readonly complaints: readonly string[]
}

/** One run against a collection, as alice. litmus writes its log where it is. */
async function litmus(url: string, names: readonly string[]): Promise<Outcome> {
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

const grades = {
  gateway: (top: string) => {
    const tree = new Guarded(top)
    tree.directory('', 'admin', openToAll)
    tree.directory('alice', 'alice', ownerOnly)
  },
  native: (top: string) => {
    const tree = new Owned(top)
    tree.directory('alice', 'alice', 0o700)
  },
} as const

for (const enforce of ['gateway', 'native'] as const) {
  const skip = missing || (enforce === 'native' && noNative)
  t.test(`litmus has nothing to complain about in the ${enforce} grade`, { skip }, async (t) => {
    const gateway = await startTestGateway(t, {
      mounts: [{ path: '/lab', enforce, make: grades[enforce] }],
      passwords: true,
    })
    const { summaries, complaints } = await litmus(new URL('/lab/alice/', gateway.url).href, suites)
    t.equal(summaries.length, suites.length, summaries.join('; '))
    t.same(complaints, [])
  })
}
