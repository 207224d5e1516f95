/** The commands that hand on rights and take them back, against a whole gateway. */

import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { named, type UserName } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'
import { resident } from './resident.ts'

t.setTimeout(120_000)

const portolan = resident(t)

const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
})

async function run(words: readonly string[], options: { as?: UserName; token?: string; input?: string } = {}) {
  const { as = 'alice', token, input } = options
  const env = { PORTOLAN_URL: gateway.url, BEARER_TOKEN: token ?? (await gateway.standingToken(as)) }
  return portolan(words, { env, ...(input !== undefined && { input }) })
}

t.test('share prints a link that opens, list shows it, revoke ends it', async (t) => {
  const made = await run(['share', '/lab/alice/note.txt', '--read', '--until', '30m', '--note', 'for the review'])
  t.equal(made.code, 0, made.stderr)
  t.equal(made.stderr, '')
  const { pathname, search } = new URL(made.stdout.trim())
  t.equal((await gateway.get(`${pathname}${search}`)).text, 'hello')
  const listed = await run(['share', 'list'])
  const [, id = ''] =
    /^([\w-]{16}) {2}\d{4}-\S+Z {2}read {2}\/lab\/alice\/note\.txt {2}for the review\n$/.exec(listed.stdout) ?? []
  t.ok(id, listed.stdout)
  t.equal((await run(['share', 'list'], { as: 'bob' })).stdout, '')
  t.match((await run(['share', 'list', '--all'], { as: 'admin' })).stdout, named('alice'))
  t.equal((await run(['share', 'revoke', id], { as: 'bob' })).code, 1)
  t.equal((await run(['share', 'revoke', id])).code, 0)
  t.equal((await gateway.get(`${pathname}${search}`)).status, 403)
  t.equal((await run(['share', 'list'])).stdout, '')
})

t.test('a link that ends before it was asked to says so', async (t) => {
  const made = await run([
    'share',
    '/lab/alice',
    '--json',
    '--until',
    '7d',
    '--upload',
    '--ip',
    '127.0.0.1',
    '192.0.2.0/24',
  ])
  t.equal(made.code, 0, made.stderr)
  t.match(made.stderr, /opens until \S+Z only/)
  t.match(JSON.parse(made.stdout), { allow: ['upload'], networks: ['127.0.0.1', '192.0.2.0/24'], path: '/lab/alice' })
  t.equal((await run(['share', '/lab/alice', '--until', 'soon'])).code, 2)
  t.equal((await run(['share', 'lab/alice'])).code, 2)
  t.equal((await run(['share', '/lab/bob'])).code, 1)
})

t.test('macaroon makes one that serves as a token, and ends it', async (t) => {
  const words = ['macaroon', '/lab/alice', '--activity', 'DOWNLOAD,LIST', '--until', '10m', '--ip', '127.0.0.0/8']
  const made = await run([...words, '--max-upload', '10'])
  t.equal(made.code, 0, made.stderr)
  const token = made.stdout.trim()
  t.equal((await run(['cat', '/lab/alice/note.txt'], { token })).stdout, 'hello')
  t.equal((await run(['rm', '/lab/alice/note.txt'], { token })).code, 1)
  t.match((await run(['whoami'], { token })).stdout, /download \/lab\/alice/)
  const narrower = await run(['macaroon', '/lab/alice/note.txt', '--activity', 'DOWNLOAD'], { token })
  t.equal(narrower.code, 0, narrower.stderr)
  t.equal((await run(['macaroon', 'revoke'], { input: 'two words' })).code, 2)
  t.equal((await run(['macaroon', 'revoke'], { input: `${narrower.stdout}` })).code, 0)
  t.equal((await run(['cat', '/lab/alice/note.txt'], { token })).code, 1)
  t.equal((await run(['macaroon', '/lab/alice', '--activity', 'FLY'])).code, 1)
})

t.test('rotate and ban are for administrators', async (t) => {
  const token = (await run(['macaroon', '/lab/alice'])).stdout.trim()
  t.equal((await run(['macaroon', 'rotate'])).code, 1)
  t.equal((await run(['macaroon', 'rotate'], { as: 'admin' })).code, 0)
  t.equal((await run(['cat', '/lab/alice/note.txt'], { token })).code, 0)
  const name = `user:${named('alice')}`
  t.equal((await run(['ban', name])).code, 1)
  t.equal((await run(['ban', name, '--until', '1h', '--note', 'lost'], { as: 'admin' })).code, 0)
  t.equal((await run(['cat', '/lab/alice/note.txt'], { token })).code, 1)
  t.match((await run(['ban', 'list'], { as: 'admin' })).stdout, /user:alice@lab\.example +\d{4}\S+Z +\S+ +lost/)
  t.equal((await run(['ban', 'lift', name], { as: 'admin' })).code, 0)
  t.equal((await run(['cat', '/lab/alice/note.txt'], { token })).code, 0)
  t.equal((await run(['macaroon', 'rotate', '--at-once'], { as: 'admin' })).code, 0)
  t.equal((await run(['cat', '/lab/alice/note.txt'], { token })).code, 1)
})

t.test('app-password makes one that is shown once, lists it, and takes it back', async (t) => {
  const made = await run(['app-password', 'laptop', '--path', '/lab/alice', '--read', '--until', '30m'])
  t.equal(made.code, 0, made.stderr)
  t.match(made.stdout, /^pw-[\w-]{16}-[\w-]{32}\n$/)
  t.match(made.stderr, /for user alice@\S+, until 20\S+Z; it is not shown again/)
  const Authorization = `Basic ${Buffer.from(`alice:${made.stdout.trim()}`).toString('base64')}`
  t.equal((await gateway.get('/lab/alice/note.txt', undefined, { Authorization })).text, 'hello')
  const listed = await run(['app-password', 'list'])
  const [, id = ''] =
    /^([\w-]{16}) {2}20\S+Z {2}used 20\S+Z {2}read {2}\/lab\/alice {2}laptop\n$/.exec(listed.stdout) ?? []
  t.ok(id, listed.stdout)
  t.match((await run(['app-password', 'list', '--all'], { as: 'admin' })).stdout, named('alice'))
  t.equal((await run(['app-password', 'laptop'])).code, 1, 'its name is taken')
  t.equal((await run(['app-password', 'revoke', id], { as: 'bob' })).code, 1)
  t.equal((await run(['app-password', 'revoke', 'no id'])).code, 2)
  t.equal((await run(['app-password', 'revoke', id])).code, 0)
  t.equal((await run(['app-password', 'list'])).stdout, '')
})
