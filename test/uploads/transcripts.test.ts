/** What clients of tus and of Resumable Uploads for HTTP send, played from test/protocols/uploads/. */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { makeLab } from '../gateway/tree.ts'
import { parseTranscript, playTranscript } from '../protocols/transcript.ts'

t.setTimeout(120_000)

const gateway = await startTestGateway(t, { mounts: [{ path: '/lab', make: (top) => void makeLab(top) }] })
const directory = resolve(import.meta.dirname, '../protocols/uploads')
const base64 = (text: string) => Buffer.from(text).toString('base64')

for (const name of ['tus', 'resumable']) {
  t.test(`${name} gets the answers that it understands`, async (t) => {
    const here = `/lab/alice/${name}`
    await gateway.request({ method: 'MKCOL', path: here, user: 'alice' })
    const exchanges = parseTranscript(readFileSync(join(directory, `${name}.txt`), 'utf8'))
    t.ok(exchanges.length > 20)
    const variables = {
      here,
      path64: base64(`${here}/tus.txt`),
      uppy64: base64('uppy file.txt'),
      sha1: createHash('sha1').update(' world').digest('base64'),
    }
    await playTranscript(t, exchanges, variables, (sent) => gateway.request({ ...sent, user: 'alice' }))
  })
}
