/** Third-party copies by TLS: who is at the other end is proved, by the authorities of the configuration alone. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ask, openDoor, store } from '../http/door.ts'
import { copy, openCopier, outcomeOf } from './third-party-world.ts'

/** A certificate for these names that vouches for itself. */
function certificate(t: Test, names: string) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-tpc-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const files = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${names}`]
  execFileSync('openssl', [...kind, ...subject, '-keyout', files.key, '-out', files.certificate], { stdio: 'ignore' })
  return { ...files, pem: readFileSync(files.certificate, 'utf8') }
}

t.test('the certificate of the other server is verified', async (t) => {
  const good = certificate(t, 'DNS:localhost')
  const other = certificate(t, 'DNS:localhost')
  const there = await openDoor(t, { listen: [{ address: '127.0.0.1', port: 0, tls: good }] })
  await store(there.storage, '/data/f', 'hello')
  const source = `https://localhost:${there.port}/data`
  for (const [ca, url, expected] of [
    [good.pem, `${source}/f`, /^success: Created$/],
    [other.pem, `${source}/f`, /^failure: the other server: its certificate is not trusted$/],
    [undefined, `${source}/f`, /^failure: the other server: its certificate is not trusted$/],
    // The name in it is another.
    [good.pem, `https://127.0.0.1:${there.port}/data/f`, /^failure: the other server: its certificate is not trusted$/],
  ] as const) {
    const here = await openCopier(t, { ca, insecure: false })
    t.match(outcomeOf(await copy(here.port, '/data/copy', { Source: url })), expected, url)
    await store(here.storage, '/data/g', 'hello')
    const pushed = await copy(here.port, '/data/g', { Destination: url.replace(/f$/, 'pushed') })
    t.match(outcomeOf(pushed), expected, url)
  }
})

t.test('a server that speaks no TLS is told apart', async (t) => {
  const there = await openDoor(t)
  const here = await openCopier(t, { insecure: false })
  const answer = await copy(here.port, '/data/copy', { Source: `https://localhost:${there.port}/data/f` })
  t.match(outcomeOf(answer), /^failure: the other server: TLS could not be agreed on$/)
  t.equal((await ask(here.port, 'GET', '/data/copy', { as: 'alice' })).status, 404)
})
