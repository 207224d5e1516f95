/** The commands by which administrators look after others, against a whole gateway. */

import t from 'tap'
import { Browser } from '../gateway/browser.ts'
import { startTestGateway } from '../gateway/harness.ts'
import { named, password, type UserName } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'
import { resident } from './resident.ts'

t.setTimeout(120_000)

const portolan = resident(t)

const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
  passwords: true,
})

async function run(words: readonly string[], { as = 'alice', input }: { as?: UserName; input?: string } = {}) {
  const env = { PORTOLAN_URL: gateway.url, BEARER_TOKEN: await gateway.standingToken(as) }
  return portolan(words, { env, ...(input !== undefined && { input }) })
}

async function signIn(user: UserName): Promise<Browser> {
  const browser = new Browser(() => gateway.port)
  await browser.signInByPassword(user, password, '/lab/')
  return browser
}

t.test('session lists browsers and signs them out, to administrators those of others', async (t) => {
  const browser = await signIn('alice')
  const listed = await run(['session', 'list'])
  const [, id = ''] = /^([\w-]{16}) {2}20\S+Z {2}used 20\S+Z {2}127\.0\.0\.1 {2}/.exec(listed.stdout) ?? []
  t.ok(id, listed.stdout + listed.stderr)
  t.equal((await run(['session', 'list', '--all'], { as: 'bob' })).code, 1)
  t.match(
    (await run(['session', 'list', '--user', named('alice')], { as: 'admin' })).stdout,
    `${id}  ${named('alice')}`,
  )
  t.equal((await run(['session', 'end', id], { as: 'bob' })).code, 1)
  t.equal((await run(['session', 'end'])).code, 2)
  t.equal((await run(['session', 'end', 'no id'])).code, 2)
  t.equal((await run(['session', 'end', id])).code, 0)
  t.equal((await browser.visit('/.portolan/api/v1/whoami')).json().user, null)
  await signIn('alice')
  await signIn('bob')
  t.equal((await run(['session', 'end', '--user', named('alice')], { as: 'admin' })).code, 0)
  const left = JSON.parse((await run(['session', 'list', '--all', '--json'], { as: 'admin' })).stdout)
  t.match(left, [{ user: named('bob') }])
  t.equal(left.length, 1)
})

t.test('lists of one user are for administrators', async (t) => {
  t.equal((await run(['s3-key', 'create', 'laptop'])).code, 0)
  t.equal((await run(['s3-key', 'list', '--user', named('alice')], { as: 'bob' })).code, 1)
  t.match((await run(['s3-key', 'list', '--user', named('alice')], { as: 'admin' })).stdout, named('alice'))
  t.equal((await run(['share', 'list', '--user', named('bob')], { as: 'admin' })).stdout, '')
})

t.test('ban token takes what it reads, and says under which name', async (t) => {
  const token = await gateway.token('bob', { jti: 'found' })
  const done = await run(['ban', 'token', '--note', 'found'], { as: 'admin', input: `${token}\n` })
  t.equal(done.stdout, `token:${gateway.issuer.issuer}|found\n`, done.stderr)
  const { url } = JSON.parse((await run(['share', '/lab/alice/note.txt', '--json'])).stdout)
  const link = await run(['ban', 'token', '--json'], { as: 'admin', input: url })
  t.match(JSON.parse(link.stdout), { name: /^macaroon:/, until: /^20/ })
  t.equal((await run(['ban', 'token'], { as: 'admin', input: 'two words' })).code, 2)
  t.equal((await run(['ban', 'token'], { as: 'bob', input: token })).code, 1)
  const listed = JSON.parse((await run(['ban', 'list', '--json'], { as: 'admin' })).stdout)
  t.equal(listed.length, 2)
  const made = await run(['ban', `user:${named('carol')}`, '--json'], { as: 'admin' })
  t.same(JSON.parse(made.stdout), { name: `user:${named('carol')}` })
})

t.test('whoami shows each step', async (t) => {
  const { stdout, code } = await run(['whoami'])
  t.equal(code, 0)
  t.match(stdout, /^user +alice@lab\.example$/m)
  t.match(stdout, /^ {2}mapping +yes {2}mapping rule 1 \(line \d+\) maps to account alice$/m)
  t.match(stdout, /^ {2}groups +yes {2}p01@lab\.example \(of the account\), photon@lab\.example \(of the account\)$/m)
  t.ok(JSON.parse((await run(['whoami', '--json'])).stdout).steps.length > 8)
})
