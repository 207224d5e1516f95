/** `portolan login`, and the tokens it leaves behind: at a real provider, for a real gateway. */

import { spawn } from 'node:child_process'
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { Issuer } from '../../mounts/client/credentials/issuer.ts'
import { type Login, Logins, loginsDirectory } from '../../mounts/client/credentials/logins.ts'
import { StoredLogin } from '../../mounts/client/credentials/stored-login.ts'
import { portolan } from '../cli/running.ts'
import { world } from '../cli/world.ts'
import { audience } from '../gateway/harness.ts'
import { startDeviceProvider } from './device-provider.ts'
import { gatewayWithData } from './gateways.ts'

function scratch(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-login-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const origin = 'https://gateway.example'

t.test('login, use, refresh and logout', async (t) => {
  const provider = await startDeviceProvider(t, audience)
  const gateway = await gatewayWithData(t, {
    more: {
      issuers: [
        {
          ...{ issuer: provider.url, name: 'real', keys: { discovery: true }, insecure: true, audiences: [audience] },
          ...{ profile: 'plain', device: { clientId: provider.clientId } },
        },
      ],
      mapping: [{ issuer: 'real', subject: 'alice', account: 'alice' }],
    },
  })
  const state = scratch(t)
  const env = { PORTOLAN_URL: gateway.url, XDG_STATE_HOME: state, HOME: state }
  const offered = await gateway.request({ path: '/.portolan/api/v1/login-options' })
  t.same(offered.json(), {
    issuers: [
      { issuer: provider.url, name: 'real', clientId: provider.clientId, scopes: ['openid', 'offline_access'] },
    ],
  })
  const before = await portolan(['whoami', '--json'], { env })
  t.equal(JSON.parse(before.stdout).user, undefined)

  const { PATH = '' } = process.env
  const cli = join(import.meta.dirname, '../../gateway/cli.ts')
  const child = spawn(process.execPath, [cli, 'login'], { env: { PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const errors = text(child.stderr)
  let last = ''
  for await (const line of createInterface(child.stdout)) {
    last = line
    const [, address] = /^or open (\S+)$/.exec(line) ?? []
    if (address !== undefined) await provider.agree(address, 'alice')
  }
  t.match(last, /^Logged in at http/, await errors)

  const directory = loginsDirectory(env)
  const [file = ''] = readdirSync(directory).filter((name) => name.endsWith('.json'))
  t.equal(statSync(join(directory, file)).mode & 0o777, 0o600)
  t.equal(statSync(directory).mode & 0o777, 0o700)
  const kept = JSON.parse(readFileSync(join(directory, file), 'utf8')) as Record<string, string>
  t.match((await portolan(['whoami', '--json'], { env })).stdout, /"user":"alice@lab.example"/)
  t.notMatch((await portolan(['whoami', '--json', '--anonymous'], { env })).stdout, /alice/)

  const logins = new Logins(directory)
  const found = await logins.find(gateway.url)
  t.ok(found?.refreshToken)
  if (found) await logins.keep({ ...found, expires: Date.now() + 1000 })
  const [one, other] = [
    new StoredLogin({ logins, origin: gateway.url }),
    new StoredLogin({ logins, origin: gateway.url }),
  ]
  const asked = () => provider.asked.filter((path) => path === '/token').length
  const tokens = asked()
  const [mine, theirs] = await Promise.all([one.current(), other.current(), one.current()])
  t.equal(asked() - tokens, 1, 'refreshed once by all together')
  t.equal(mine?.reveal(), theirs?.reveal())
  t.not(mine?.reveal(), kept.accessToken)
  t.not((await logins.find(gateway.url))?.refreshToken?.reveal(), kept.refreshToken, 'the refresh token was rotated')
  t.match((await portolan(['whoami', '--json'], { env })).stdout, /"user":"alice@lab.example"/)

  const out = await portolan(['logout'], { env })
  t.equal(out.code, 0, out.stderr)
  t.ok(provider.asked.includes('/token/revocation'))
  t.same(
    readdirSync(directory).filter((name) => name.endsWith('.json')),
    [],
  )
  t.equal((await portolan(['logout'], { env })).code, 2)
  t.equal(await new StoredLogin({ logins, origin: gateway.url }).current(), undefined)
})

function loginOf(more: Partial<Login> = {}): Login {
  return {
    ...{ origin, issuer: 'http://127.0.0.1:1', clientId: 'c', scopes: ['openid'] },
    ...{ accessToken: new Secret('first'), expires: Date.now() + 3_600_000, refreshToken: new Secret('refresh') },
    ...more,
  }
}

t.test('a kept login is for its owner and its gateway alone', async (t) => {
  const directory = scratch(t)
  const logins = new Logins(join(directory, 'logins'))
  t.equal(await logins.find(origin), undefined)
  await logins.keep(loginOf())
  t.equal((await logins.find(origin))?.accessToken.reveal(), 'first')
  t.equal(await logins.find('https://other.example'), undefined)
  t.notMatch(inspect(await logins.find(origin), { depth: 5 }), /first|"refresh"/)
  chmodSync(logins.fileOf(origin), 0o640)
  await t.rejects(logins.find(origin), { code: 'invalid' })
  await logins.keep(loginOf({ accessToken: new Secret('second') }))
  t.equal((await logins.find(origin))?.accessToken.reveal(), 'second', 'a new login mends it')
  t.same(readdirSync(join(directory, 'logins')).length, 1, 'nothing is left over')
})

t.test('what a process left behind that was killed while it wrote is removed, and nothing else', async (t) => {
  const directory = scratch(t)
  const logins = new Logins(directory)
  await logins.keep(loginOf())
  const file = logins.fileOf(origin)
  const [old, young] = [new Date(Date.now() - 2 * 3_600_000), new Date()]
  const other = join(directory, `${'0'.repeat(32)}.json`)
  const stays = [`${file}.000000000002`, `${file}.00`, `${file}.lock`, `${file}.000000000000.bak`, other]
  for (const name of [`${file}.000000000001`, `${other}.000000000001`, ...stays]) {
    writeFileSync(name, 'secret', { mode: 0o600 })
    utimesSync(name, old, old)
  }
  utimesSync(`${file}.000000000002`, young, young)
  const far = join(directory, 'far')
  writeFileSync(far, 'precious')
  utimesSync(far, old, old)
  symlinkSync(far, `${file}.000000000003`)
  lutimesSync(`${file}.000000000003`, old, old)
  mkdirSync(`${file}.000000000004`)
  utimesSync(`${file}.000000000004`, old, old)
  await logins.keep(loginOf({ accessToken: new Secret('second') }))
  t.equal((await logins.find(origin))?.accessToken.reveal(), 'second')
  t.same(
    readdirSync(directory).toSorted(),
    [file, ...stays, far, `${file}.000000000003`, `${file}.000000000004`].map((each) => basename(each)).toSorted(),
  )
  t.equal(readFileSync(far, 'utf8'), 'precious')
})

t.test('an issuer that cannot be asked takes nothing away as long as the token is good', async (t) => {
  const logins = new Logins(scratch(t))
  const lines: string[] = []
  const log = (line: string) => void lines.push(line)
  await logins.keep(loginOf({ expires: Date.now() + 60_000 }))
  const good = new StoredLogin({ logins, origin, log })
  t.equal((await good.current())?.reveal(), 'first')
  await good.close()
  await logins.keep(loginOf({ accessToken: new Secret('over'), expires: Date.now() - 1 }))
  const over = new StoredLogin({ logins, origin, log })
  await t.rejects(over.current(), { code: 'unavailable' })
  await t.rejects(over.current(), { code: 'unavailable' })
  t.equal(lines.length, 2, 'said once by each')
  await logins.keep(loginOf({ accessToken: new Secret('over'), expires: Date.now() - 1, refreshToken: undefined }))
  const ended = new StoredLogin({ logins, origin, log })
  await t.rejects(ended.current(), { code: 'unauthenticated' })
  t.match(lines.at(-1), /portolan login/)
  t.notMatch(lines.join(' '), /first|refresh"/)
})

t.test('only one process at a time renews', async (t) => {
  const logins = new Logins(scratch(t))
  let inside = 0
  let most = 0
  await Promise.all(
    Array.from({ length: 4 }, () =>
      logins.alone(origin, async () => {
        most = Math.max(most, ++inside)
        await new Promise((resolve) => setImmediate(resolve))
        inside--
      }),
    ),
  )
  t.equal(most, 1)
})

t.test('an issuer has an https address, and its endpoints have', async (t) => {
  for (const issuer of ['http://issuer.example', 'ftp://issuer.example', 'nothing']) {
    await t.rejects(Issuer.find({ issuer, clientId: 'c' }), { code: 'invalid' }, issuer)
  }
  await t.rejects(Issuer.find({ issuer: 'http://127.0.0.1:1', clientId: 'c' }), { code: 'unavailable' })
})

t.test('a gateway that names no issuer, and orders that are not clear', async (t) => {
  const { run } = await world(t)
  const env = { XDG_STATE_HOME: scratch(t) }
  for (const [words, expected] of [
    [['login'], /names no issuer/],
    [['login', '--issuer', 'https://issuer.example'], /--client-id/],
    [['login', '--issuer', 'http://issuer.example', '--client-id', 'c'], /https/],
    [['logout'], /nobody is logged in/],
  ] as const) {
    const { code, stderr } = await run(words, { env })
    t.equal(code, 2, words.join(' '))
    t.match(stderr, expected)
  }
})
