/** Tokens that somebody has tampered with reach code in C: it must bear them, and let nobody else in. */

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { Kdc } from '../peers/kdc.ts'
import { http, noKerberos, realm, tokensOf } from './world.ts'

const run = promisify(execFile)
t.setTimeout(180_000)
const rounds = 8_000

t.test(
  'no token that was tampered with ends the process or makes anybody somebody else',
  { skip: noKerberos() },
  async (t) => {
    const kdc = await Kdc.start({ realms: [realm], users: { [`alice@${realm}`]: 'alice-pw' } })
    t.teardown(() => kdc.stop())
    const directory = mkdtempSync(join(tmpdir(), 'portolan-hostile-'))
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    const keytab = join(directory, 'krb5.keytab')
    await kdc.addKey(http, keytab)
    const cache = await kdc.login(`alice@${realm}`, 'alice-pw')
    for (const mechanism of ['spnego', 'bare'] as const) {
      const [token = ''] = await tokensOf(kdc, cache, { mechanism })
      const program = join(import.meta.dirname, 'hostile.ts')
      const words = [program, keytab, join(directory, 'replays'), token, String(rounds)]
      const { stdout } = await run(process.execPath, words, { env: { PATH: '/usr/bin:/bin' } })
      const { clients, passed, grown } = JSON.parse(stdout) as {
        readonly clients: readonly string[]
        readonly passed: number
        readonly grown: number
      }
      t.ok(
        clients.every((client) => client === `alice@${realm}`),
        clients.join(),
      )
      t.ok(passed > rounds / 100, `${passed} of ${rounds} go on to Kerberos`)
      // The package loses the text of each refusal; more than that would be another loss.
      t.ok(grown < 1024, `${grown} bytes of memory for each token`)
    }
  },
)
