/** Clients of the grid with macaroons: gfal2 asks for one as it asks dCache and XRootD, and uses it, as davix does. */

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { parseMacaroon } from '../../acl/macaroon.ts'
import { startTestGateway } from '../gateway/harness.ts'
import { asRoot, service } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'

t.setTimeout(180_000)

/** The clients are scripts for the system's own Python. */
const system = '/usr/bin:/bin'
const found = (program: string) => spawnSync('which', [program], { env: { PATH: system } }).status === 0
const missing = ['gfal-token', 'davix-get', 'openssl'].filter((program) => !found(program))
const skip =
  missing.length > 0 && `${missing.join(', ')} not installed (Debian: gfal2-util-scripts gfal2-plugin-http davix)`

/** Asking for tokens is what gfal2 does over TLS alone. */
function certificateFor(t: Test): { readonly certificate: string; readonly key: string } {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-tls-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  chmodSync(directory, 0o755)
  const [certificate, key] = [join(directory, 'tls.pem'), join(directory, 'tls.key')]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const files = ['-keyout', key, '-out', certificate]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...names, ...files], {
    stdio: 'ignore',
  })
  if (asRoot) for (const file of [certificate, key]) chownSync(file, service.uid, service.gid)
  return { certificate, key }
}

t.test('gfal2 asks for a macaroon and reads, lists and writes with it', { skip }, async (t) => {
  const tls = certificateFor(t)
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello\n') }],
    more: { listen: [{ address: '127.0.0.1', port: 0, tls }] },
  })
  const home = mkdtempSync(join(tmpdir(), 'portolan-gfal-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true }))
  writeFileSync(join(home, 'upload'), 'new\n')
  const url = (path: string) => `https://localhost:${gateway.port}${path}`
  const run = async (program: string, words: readonly string[], token: string) => {
    const child = spawn(program, words, { env: { PATH: system, HOME: home, BEARER_TOKEN: token } })
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
    return { out, err }
  }
  const unsafe = ['-D', 'HTTP PLUGIN:INSECURE=true']
  // gfal2 asks as who has a client certificate, or with what is in the URL: here the macaroon that curl was given.
  const standing = await gateway.standingToken('alice')
  const json = ['-H', `Authorization: Bearer ${standing}`, '-H', 'Content-Type: application/macaroon-request', '-d', '']
  const given = await run('curl', ['-sSk', ...json, url('/lab/alice')], '')
  const { uri } = JSON.parse(given.out) as { readonly uri: { readonly targetWithMacaroon: string } }
  const target = url(uri.targetWithMacaroon.slice(uri.targetWithMacaroon.indexOf('/lab')))
  const asking = [...unsafe, '--validity', '10']
  const asked = await run('gfal-token', [...asking, target, 'LIST', 'DOWNLOAD'], '')
  const token = asked.out.trim()
  const { caveats } = parseMacaroon(token).macaroon
  t.match(caveats, ['path:/lab/alice', /^before:/, 'activity:LIST,DOWNLOAD', /^before:/], asked.err)
  t.equal((await run('gfal-cat', [...unsafe, url('/lab/alice/note.txt')], token)).out, 'hello\n')
  t.equal(
    (await run('davix-get', ['-k', '-H', `Authorization: Bearer ${token}`, url('/lab/alice/note.txt')], token)).out,
    'hello\n',
  )
  t.equal((await run('davix-get', ['-k', `${url('/lab/alice/note.txt')}?authz=${token}`], '')).out, 'hello\n')
  const upload = [...unsafe, join(home, 'upload'), url('/lab/alice/upload')]
  t.match((await run('gfal-copy', upload, token)).err, /403/, 'not to write with')
  const writing = await run('gfal-token', [...asking, '--write', target], '')
  const writer = writing.out.trim()
  const copied = await run('gfal-copy', upload, writer)
  t.equal(
    (await run('gfal-cat', [...unsafe, url('/lab/alice/upload')], standing)).out,
    'new\n',
    copied.err + copied.out,
  )
  const outside = await run('gfal-cat', [...unsafe, url('/lab/p01/data')], writer)
  t.match(outside.err, /403/, 'and nowhere else')
})
