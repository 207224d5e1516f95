/** What a gateway started as root becomes. Needs root. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { outOfReach } from '../reach.ts'

const home = resolve(import.meta.dirname, '../..')
const account = { uid: 61234, gid: 61235 }
/** CAP_SETGID (6) and CAP_SETUID (7). */
const switching = '00000000000000c0'
const none = '0000000000000000'
const skip = process.getuid?.() === 0 ? false : 'needs root to start from'

interface Running {
  readonly child: ChildProcess
  readonly said: Readonly<Record<string, unknown>>
  next(): Promise<string>
}

/** Starts the program and reads its first line. It is ended with the test. */
async function start(t: Test, options: object, place: Place = {}): Promise<Running> {
  const program = join(place.top ?? home, 'test/posix/privileges-program.ts')
  const env = { PATH: process.env.PATH }
  const [command = '', ...args] = [...(place.through ?? []), process.execPath, program, JSON.stringify(options)]
  const child = spawn(command, args, {
    env,
    cwd: place.cwd ?? '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<string> => (await lines.next()).value ?? ''
  return { child, said: JSON.parse((await next()) || '{}'), next }
}

interface Place {
  /** Top of the checkout to run from. */
  readonly top?: string
  readonly cwd?: string
  /** A program that starts it. */
  readonly through?: readonly string[]
}

function place(t: Test): string {
  const top = mkdtempSync(join(tmpdir(), 'portolan-privileges-'))
  t.teardown(() => rmSync(top, { recursive: true, force: true }))
  chmodSync(top, 0o755)
  return top
}

/** The part of the program that the test needs, as a checkout below a directory that only root may enter. */
function closedCheckout(top: string): string {
  const checkout = join(top, 'closed/home/checkout')
  mkdirSync(checkout, { recursive: true })
  for (const part of [
    'package.json',
    'gateway/core',
    'gateway/privileges.ts',
    'acl',
    'backends',
    'test/posix/privileges-program.ts',
    'node_modules/koffi',
    'node_modules/@koromix',
  ]) {
    cpSync(join(home, part), join(checkout, part), { recursive: true })
  }
  chmodSync(join(top, 'closed'), 0o700)
  chmodSync(join(top, 'closed/home'), 0o700)
  return checkout
}

t.test('started as root it becomes the account with CAP_SETUID and CAP_SETGID alone', { skip }, async (t) => {
  const top = place(t)
  mkdirSync(join(top, 'shut/tree'), { recursive: true })
  writeFileSync(join(top, 'shut/tree/file'), '')
  chmodSync(join(top, 'shut'), 0o700)
  writeFileSync(join(top, 'secret'), '', { mode: 0o600 })
  const root = join(top, 'shut/tree')
  const { said } = await start(t, {
    account,
    native: true,
    needed: [],
    roots: [root],
    write: { file: join(top, 'secret') },
  })
  t.match(said, {
    uid: /^61234\t61234\t61234\t61234$/,
    gid: /^61235\t61235\t61235\t61235$/,
    groups: '61235',
    effective: switching,
    permitted: switching,
    inheritable: switching,
    bounding: switching,
    ambient: switching,
    noNewPrivileges: '1',
    umask: '0000',
    cwd: '/',
    args: 3,
    write: 'EACCES',
    roots: [[root, ['file']]],
  })
})

t.test('without native mounts it keeps no capability at all', { skip }, async (t) => {
  const { said } = await start(t, { account, native: false, needed: [], roots: [] })
  t.match(said, { effective: none, permitted: none, bounding: none, ambient: none, roots: [] })
})

t.test('it runs from below directories that only root may enter, and writes there', { skip }, async (t) => {
  const top = place(t)
  const checkout = closedCheckout(top)
  const state = join(top, 'closed/home/state')
  mkdirSync(state)
  chownSync(state, account.uid, account.gid)
  const beside = join(top, 'closed/home/beside')
  writeFileSync(beside, 'for root')
  const options = { account, native: true, needed: [state], roots: [], write: { file: join(state, 'written') } }
  const { said } = await start(t, options, { top: checkout, cwd: checkout })
  t.match(said, { permitted: switching, cwd: checkout, write: 'written' })
  t.equal(readFileSync(join(state, 'written'), 'utf8'), 'x', 'the file is there for everybody else')
  t.equal(readFileSync(beside, 'utf8'), 'for root', 'and the rest is where it was')
})

t.test('what the account may not open even then is named, and nothing has changed', { skip }, async (t) => {
  const top = place(t)
  const closed = join(top, 'closed')
  mkdirSync(join(closed, 'state'), { recursive: true })
  chmodSync(closed, 0o700)
  chmodSync(join(closed, 'state'), 0o700)
  const { said } = await start(t, { account, native: true, needed: [join(closed, 'state')], roots: [] })
  t.match(said, { uid: 0, refused: `uid ${account.uid} may not open ${join(closed, 'state')}` })
})

t.test('signals reach it after the second start', { skip }, async (t) => {
  const { child, next } = await start(t, { account, native: true, needed: [], roots: [] })
  child.kill('SIGHUP')
  t.equal(await next(), 'hangup')
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  t.same(await ended, [0, null])
})

t.test('root is refused as the service account', { skip }, async (t) => {
  const { said } = await start(t, { account: { uid: 0, gid: 0 }, native: true, needed: [], roots: [] })
  t.match(said, { refused: /must not be root/ })
})

t.test(
  'where the kernel allows no private mounts, the closed directory is named',
  { skip: skip || outOfReach() },
  async (t) => {
    const top = place(t)
    const state = join(top, 'closed/state')
    mkdirSync(state, { recursive: true })
    chownSync(state, account.uid, account.gid)
    chmodSync(join(top, 'closed'), 0o700)
    const through = ['setpriv', '--bounding-set', '-sys_admin']
    const options = { account, native: true, roots: [] }
    const closed = await start(t, { ...options, needed: [state] }, { through })
    t.match(closed.said, { uid: 0, refused: `may not enter ${join(top, 'closed')}, and unshare gave EPERM` })
    const open = await start(t, { ...options, needed: [top] }, { through })
    t.match(open.said, { permitted: switching }, 'which is not asked for where nothing is closed')
  },
)

t.test('an ordinary account without the capabilities is told so', { skip: skip || outOfReach() }, async (t) => {
  const through = ['setpriv', '--reuid', '61234', '--regid', '61235', '--clear-groups']
  const { said } = await start(t, { account, native: true, needed: [], roots: [] }, { through })
  t.match(said, { uid: 61234, refused: /without the ambient capabilities/ })
  const ambient = ['--inh-caps', '+setuid,+setgid', '--ambient-caps', '+setuid,+setgid']
  const unit = await start(t, { account, native: true, needed: [], roots: [] }, { through: [...through, ...ambient] })
  t.match(
    unit.said,
    { permitted: switching, ambient: switching },
    'with them, as a unit of systemd gives them, it just runs',
  )
})
