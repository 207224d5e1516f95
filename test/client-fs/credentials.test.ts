/** Tokens that are renewed by others while a mount runs. */

import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { sourceFrom } from '../../mounts/client/credentials/choose.ts'
import { expiryOf } from '../../mounts/client/credentials/expiry.ts'
import { stampOf, WatchedToken } from '../../mounts/client/credentials/watched.ts'
import { readTokenFile } from '../../mounts/client/token.ts'
import { fixedToken } from './fixed-token.ts'
import { gatewayWithData, reach } from './gateways.ts'

const uid = process.geteuid?.() ?? 0
const origin = new URL('https://gateway.example')

function scratch(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-credentials-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function put(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

function watch(file: string) {
  const clock = { now: 1_000_000 }
  const lines: string[] = []
  let reads = 0
  const source = new WatchedToken({
    place: `the file ${file}`,
    read: () => {
      reads++
      return readTokenFile(file)
    },
    stamp: () => stampOf(file),
    isNeeded: true,
    log: (line) => lines.push(line),
    now: () => clock.now,
  })
  return { source, lines, clock, reads: () => reads }
}

t.test('a token file is read again when it has changed, and looked at once a second', async (t) => {
  const file = join(scratch(t), 'token')
  put(file, 'one')
  const { source, clock, reads } = watch(file)
  const first = await source.current()
  t.equal(first?.reveal(), 'one')
  put(file, 'two')
  t.equal(await source.current(), first, 'not looked at yet')
  clock.now += 1001
  t.equal((await source.current())?.reveal(), 'two')
  for (let second = 0; second < 5; second++) {
    clock.now += 1001
    await source.current()
  }
  t.equal(reads(), 2, 'what has not changed is not read')
})

t.test('links that are turned, as Kubernetes does it, are followed', async (t) => {
  const top = scratch(t)
  for (const name of ['a', 'b']) {
    mkdirSync(join(top, name))
    put(join(top, name, 'token'), `token-${name}`)
  }
  symlinkSync('a', join(top, '..data'))
  symlinkSync('..data/token', join(top, 'token'))
  const { source, clock } = watch(join(top, 'token'))
  t.equal((await source.current())?.reveal(), 'token-a')
  symlinkSync('b', join(top, '..tmp'))
  renameSync(join(top, '..tmp'), join(top, '..data'))
  clock.now += 1001
  t.equal((await source.current())?.reveal(), 'token-b')
})

t.test('a token that was refused is waited with, and each change is told once', async (t) => {
  const file = join(scratch(t), 'token')
  put(file, 'old')
  const { source, lines, clock } = watch(file)
  const old = await source.current()
  t.ok(old)
  t.equal(await source.refused(old ?? new Secret('')), false)
  for (let second = 0; second < 3; second++) {
    clock.now += 1001
    await t.rejects(source.current(), { code: 'unauthenticated', message: /waiting for a new one in the file/ })
  }
  t.equal(lines.length, 1)
  clock.now += 10_000
  t.equal(await source.current(), old, 'it is shown once more after a while')
  t.equal(await source.refused(old ?? new Secret('')), false)
  put(file, 'new')
  t.equal(await source.refused(old ?? new Secret('')), true)
  t.equal((await source.current())?.reveal(), 'new')
  t.equal(lines.length, 2)
  t.notMatch(lines.join(), /\b(old|new)\b(?! one)/)
})

t.test('a file that is gone, or open to others, leaves the last token in use and says so', async (t) => {
  const file = join(scratch(t), 'token')
  put(file, 'kept')
  const { source, lines, clock } = watch(file)
  t.equal((await source.current())?.reveal(), 'kept')
  rmSync(file)
  clock.now += 1001
  t.equal((await source.current())?.reveal(), 'kept')
  writeFileSync(file, 'other')
  chmodSync(file, 0o666)
  clock.now += 1001
  t.equal((await source.current())?.reveal(), 'kept')
  t.equal(lines.length, 2)
  const missing = watch(join(scratch(t), 'none'))
  await t.rejects(missing.source.current(), { code: 'unauthenticated', message: /does not exist/ })
})

t.test('which credential is used', async (t) => {
  const directory = scratch(t)
  const file = join(directory, 'file')
  put(file, 'of-file')
  put(join(directory, `bt_u${uid}`), 'of-runtime')
  const env = { XDG_STATE_HOME: directory, HOME: directory }
  const rows = [
    [{ BEARER_TOKEN: 'of-variable', BEARER_TOKEN_FILE: file }, undefined, 'of-variable'],
    [{ BEARER_TOKEN_FILE: file, XDG_RUNTIME_DIR: directory }, undefined, 'of-file'],
    [{ XDG_RUNTIME_DIR: directory }, undefined, 'of-runtime'],
    [{ BEARER_TOKEN: 'of-variable' }, file, 'of-file'],
  ] as const
  for (const [more, tokenFile, expected] of rows) {
    const source = sourceFrom({ origin, around: { env: { ...env, ...more }, uid }, tokenFile })
    t.equal((await source.current())?.reveal(), expected)
    await source.close()
  }
})

t.test('when a token says that it ends', (t) => {
  const jwt = (claims: unknown) => new Secret(`e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`)
  for (const [token, expected] of [
    [jwt({ exp: 1_700_000_000 }), 1_700_000_000_000],
    [jwt({}), undefined],
    [jwt({ exp: '1' }), undefined],
    [jwt({ exp: 1e300 }), undefined],
    [jwt(null), undefined],
    [new Secret('opaque'), undefined],
    [new Secret('a.b.c'), undefined],
  ] as const) {
    t.equal(expiryOf(token), expected)
  }
  t.end()
})

t.test('a mount whose token has expired goes on as soon as there is another one', async (t) => {
  const gateway = await gatewayWithData(t)
  const file = join(scratch(t), 'token')
  put(file, await gateway.token('alice', { exp: Math.floor(Date.now() / 1000) + 3 }))
  const lines: string[] = []
  const source = sourceFrom({ origin, tokenFile: file, log: (line) => lines.push(line) })
  const fs = await reach(t, gateway, { source })
  const path = parsePath('/data/file')
  const open = await fs.open(path, { write: true, create: { exclusive: true, mode: 0o600 } })
  await open.write(Buffer.from('text'), 0)
  for (;;) {
    const outcome = await open.stat().then(
      () => 'done',
      ({ code }) => code,
    )
    if (outcome !== 'done') {
      t.equal(outcome, 'unauthenticated')
      break
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.match(lines, [/^the token expired at .*; waiting for a new one in the file /])
  put(file, await gateway.token('alice'))
  let size: number | undefined
  while (size === undefined) {
    size = await open.stat().then(
      (found) => found.size,
      () => undefined,
    )
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.equal(size, 4)
  t.equal(lines.length, 2)
})

t.test('of a token for another service it is told which audience the gateway asks for', async (t) => {
  const gateway = await gatewayWithData(t)
  const source = async (claims: object) =>
    fixedToken(new Secret(await gateway.token('alice', { ...claims })), 'the test')
  const stranger = await source({ aud: 'https://other.example/\u0007' })
  const message =
    /another service \(aud "https:\/\/other\.example\/[^"]*" is none of \["https:\/\/gateway\.example"\]\)/
  await t.rejects(reach(t, gateway, { source: stranger }), { code: 'unauthenticated', message })
  const error: unknown = await reach(t, gateway, { source: stranger }).catch((thrown: unknown) => thrown)
  t.notMatch(String(error), /[\u0000-\u001f]/)
  const late = await source({ iat: 1_000_000, exp: 1_000_600 })
  await t.rejects(reach(t, gateway, { source: late }), { code: 'unauthenticated', message: /exp/ })
})
