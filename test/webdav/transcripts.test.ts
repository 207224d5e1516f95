/** What WebDAV clients send, played from test/protocols/webdav/. */

import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { makeLab } from '../gateway/tree.ts'
import { parseTranscript, playTranscript } from '../protocols/transcript.ts'

t.setTimeout(120_000)

const gateway = await startTestGateway(t, { mounts: [{ path: '/lab', make: (top) => void makeLab(top) }] })
const directory = resolve(import.meta.dirname, '../protocols/webdav')

for (const file of readdirSync(directory).toSorted()) {
  const name = file.replace(/\.txt$/, '')
  t.test(`${name} gets the answers that it understands`, async (t) => {
    const here = `/lab/alice/${name}`
    await gateway.request({ method: 'MKCOL', path: here, user: 'alice' })
    const exchanges = parseTranscript(readFileSync(join(directory, file), 'utf8'))
    t.ok(exchanges.length > 3)
    const variables = { here, url: new URL(here, gateway.url).href }
    await playTranscript(t, exchanges, variables, (sent) => gateway.request({ ...sent, user: 'alice' }))
  })
}
