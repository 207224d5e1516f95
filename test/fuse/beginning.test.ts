/** Mounts that do not come about: a server that is not trusted, a token for another one, an end before the beginning. */

import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { mountedAt } from '../../mounts/fuse/mounting/mountinfo.ts'
import { startTestGateway } from '../gateway/harness.ts'
import { eventually, familyOf, gone } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'

const program = resolve(import.meta.dirname, '../../gateway/cli.ts')
const skip = process.getuid?.() !== 0 ? 'needs root' : existsSync('/dev/fuse') ? false : 'needs /dev/fuse'
const env = { ...process.env, BEARER_TOKEN: '', BEARER_TOKEN_FILE: '', PORTOLAN_CA: '', HOME: tmpdir() }
t.setTimeout(300_000)

/** A certificate for 127.0.0.1 that is its own authority. */
function certify(directory: string, name: string) {
  const [key, cert] = [join(directory, `${name}.key`), join(directory, `${name}.pem`)]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  return { key: readFileSync(key, 'utf8').trim(), cert: readFileSync(cert, 'utf8').trim(), file: cert }
}

function place(t: Test) {
  const top = mkdtempSync(join(tmpdir(), 'portolan-beginning-'))
  const directory = join(top, 'data')
  mkdirSync(directory)
  t.teardown(async () => {
    while (await mountedAt(directory)) execFileSync('umount', ['-l', directory])
    rmSync(top, { recursive: true, force: true })
  })
  return { top, directory }
}

async function portolan(...words: readonly string[]) {
  try {
    await promisify(execFile)(process.execPath, [program, ...words], { env, timeout: 60_000 })
    return { code: 0, err: '' }
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string }
    return { code, err: stderr }
  }
}

t.test('whom to trust, and for whom a token is', { skip }, async (t) => {
  const { top, directory } = place(t)
  const [own, other] = [certify(top, 'own'), certify(top, 'other')]
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (tree) => void makeLab(tree) }],
    secrets: { 'gateway.key': own.key, 'gateway.crt': own.cert },
    more: { listen: [{ address: '127.0.0.1', port: 0, tls: { certificate: 'gateway.crt', key: 'gateway.key' } }] },
  })
  const [good, wrong] = [join(top, 'good'), join(top, 'wrong')]
  writeFileSync(good, await gateway.token('alice'), { mode: 0o600 })
  writeFileSync(wrong, await gateway.token('alice', { aud: 'https://another.example' }), { mode: 0o600 })
  for (const [words, code, line] of [
    [['--token-file', good], 3, /certificate/],
    [['--token-file', good, '--ca', other.file], 3, /certificate/],
    [['--token-file', wrong, '--ca', own.file], 1, /`portolan token` judges one/],
    [['--token-file', join(directory, 'token'), '--ca', own.file], 1, /does not exist/],
    [['--token-file', good, '--log', join(directory, 'log')], 2, /below the directory/],
  ] as const) {
    const { code: status, err } = await portolan('mount', ...words, gateway.url, directory)
    t.equal(status, code, `${words.join(' ')}: ${err}`)
    t.match(err, line)
    t.notMatch(err, /eyJ/)
    t.equal(await mountedAt(directory), undefined)
  }
  t.match(await portolan('mount', `${gateway.url}/a\nb`, directory), { code: 2, err: /the URL of the gateway is none/ })

  await t.test('and the right ones do', async (t) => {
    t.same(await portolan('mount', '--token-file', good, '--ca', own.file, gateway.url, directory), {
      code: 0,
      err: '',
    })
    t.same(readdirSync(directory), ['lab'])
    t.equal((await portolan('umount', directory)).code, 0)
  })

  await t.test('a signal in the moment of mounting', async (t) => {
    for (const more of [[], ['--supervise']]) {
      const words = [program, 'mount', '-f', ...more, '--token-file', good, '--ca', own.file, gateway.url, directory]
      const child = spawn(process.execPath, words, { env, stdio: 'ignore' })
      const ended = once(child, 'exit')
      await eventually(async () => (await mountedAt(directory)) !== undefined, 30_000, 'it is not mounted')
      const family = familyOf(child.pid ?? -1)
      child.kill('SIGTERM')
      t.match(await ended, [/^(0|130)$/, null], 'served for a moment, or not at all')
      t.equal(await mountedAt(directory), undefined)
      await gone(family)
    }
  })
})

t.test('before the gateway has answered', { skip }, async (t) => {
  const { directory } = place(t)
  let asked = Promise.withResolvers<void>()
  const silent = createServer(() => asked.resolve())
  await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done))
  t.teardown(() => {
    silent.close()
    silent.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  for (const [words, signal, outcome] of [
    [['--foreground'], 'SIGTERM', [130, null]],
    [['--foreground'], 'SIGINT', [130, null]],
    [[], 'SIGTERM', [null, 'SIGTERM']],
    [[], 'SIGKILL', [null, 'SIGKILL']],
  ] as const) {
    asked = Promise.withResolvers()
    const child = spawn(process.execPath, [program, 'mount', ...words, '--auth', 'none', url, directory], {
      ...{ env, stdio: 'ignore' },
    })
    const ended = once(child, 'exit')
    await asked.promise
    const family = familyOf(child.pid ?? -1)
    child.kill(signal)
    t.same(await ended, outcome, `${words.join(' ')} ${signal}`)
    await gone(family)
    t.equal(await mountedAt(directory), undefined)
  }
})
