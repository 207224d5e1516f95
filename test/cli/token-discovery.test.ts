import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect, promisify } from 'node:util'
import t from 'tap'
import { discoverToken, readTokenFile, source } from '../../mounts/client/token.ts'
import { scratch } from './running.ts'

const uid = process.geteuid?.() ?? 0
const rootOnly = uid === 0 ? false : 'needs root, who mounts it'
/** Nobody else's file can be at this name. */
const stranger = 4_000_000_123

function tokenFile(directory: string, name: string, content: string, mode = 0o600): string {
  const file = join(directory, name)
  writeFileSync(file, content)
  chmodSync(file, mode)
  return file
}

t.test('the token comes from the first place that has one', async (t) => {
  const directory = scratch(t)
  const named = tokenFile(directory, 'named', 'from-file')
  tokenFile(directory, `bt_u${uid}`, 'from-runtime')
  const XDG_RUNTIME_DIR = directory
  const BEARER_TOKEN_FILE = named
  const rows = [
    [{ BEARER_TOKEN: 'from-env', BEARER_TOKEN_FILE, XDG_RUNTIME_DIR }, 'from-env'],
    [{ BEARER_TOKEN: ' \t', BEARER_TOKEN_FILE, XDG_RUNTIME_DIR }, 'from-file'],
    [{ BEARER_TOKEN_FILE, XDG_RUNTIME_DIR }, 'from-file'],
    [{ XDG_RUNTIME_DIR }, 'from-runtime'],
  ] as const
  for (const [env, expected] of rows) t.equal((await discoverToken({ env, uid }))?.token.reveal(), expected)
  t.equal(await discoverToken({ env: {}, uid: stranger }), undefined)
  await t.rejects(discoverToken({ env: { BEARER_TOKEN_FILE: join(directory, 'gone') }, uid }), { code: 'not-found' })
})

t.test('white space around a token is stripped, and anything else is no token', async (t) => {
  t.equal(source(' \r\n\t abc.def-_~+/==\n\v\f', 'test').token.reveal(), 'abc.def-_~+/==')
  for (const bad of [
    '',
    '   ',
    'two words',
    'line\nbreak',
    'quote"',
    'nul\0',
    'h\u00e9',
    '=leading',
    'a\r\nX-Header: b',
  ]) {
    t.throws(() => source(bad, 'test'), { code: 'invalid' }, JSON.stringify(bad))
  }
})

t.test(
  'a secret that is mounted into a container is taken with the mode that it has',
  { skip: rootOnly },
  async (t) => {
    const module = JSON.stringify(join(import.meta.dirname, '../../mounts/client/token.ts'))
    const reading = `
    const { readTokenFile } = await import(${module})
    console.log(await readTokenFile(process.argv[1], 0).then(({ token }) => token.reveal(), ({ message }) => message))`
    const script = `
    mount -t tmpfs none "$1"; echo from-container > "$1/token"; chmod 444 "$1/token"
    "$2" --input-type=module -e "$3" "$1/token"
    mount -o remount,ro "$1"
    "$2" --input-type=module -e "$3" "$1/token"`
    const words = ['--mount', 'sh', '-euc', script, 'sh', scratch(t), process.execPath, reading]
    const { stdout } = await promisify(execFile)('unshare', words)
    const [writable = '', readOnly] = stdout.trim().split('\n')
    t.match(writable, /is open to others/)
    t.equal(readOnly, 'from-container')
  },
)

t.test('a token file that others may read or change is refused', async (t) => {
  const directory = scratch(t)
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o644]) {
    const file = tokenFile(directory, `mode-${mode.toString(8)}`, 'secret', mode)
    // What belongs to root may be readable, as secrets mounted into containers are; for root itself both rules agree.
    if (uid !== 0) await t.rejects(readTokenFile(file, uid), { code: 'invalid' }, mode.toString(8))
    else await t.rejects(readTokenFile(file, 0), { code: 'invalid' }, mode.toString(8))
  }
  const mine = tokenFile(directory, 'mine', 'secret')
  if (uid !== 0) await t.rejects(readTokenFile(mine, stranger), { code: 'invalid' }, 'of another user')
  t.equal((await readTokenFile(mine, uid)).token.reveal(), 'secret')
})

t.test('what is no file, or too long, is refused without being read to its end', async (t) => {
  const directory = scratch(t)
  mkdirSync(join(directory, 'directory'))
  await t.rejects(readTokenFile(join(directory, 'directory')), { code: 'invalid' })
  await t.rejects(readTokenFile('/dev/zero'), { code: 'invalid' })
  await t.rejects(readTokenFile(tokenFile(directory, 'long', 'x'.repeat(100_000))), { code: 'invalid' })
})

t.test('a link in the runtime directory is not followed', async (t) => {
  const directory = scratch(t)
  const real = tokenFile(directory, 'real', 'secret')
  symlinkSync(real, join(directory, `bt_u${uid}`))
  await t.rejects(discoverToken({ env: { XDG_RUNTIME_DIR: directory }, uid }), { code: 'invalid' })
  t.equal(
    (await discoverToken({ env: { BEARER_TOKEN_FILE: join(directory, `bt_u${uid}`) }, uid }))?.token.reveal(),
    'secret',
  )
})

t.test('a found token does not print', async (t) => {
  const found = source('very-secret', 'the variable BEARER_TOKEN')
  for (const text of [inspect(found), JSON.stringify(found), `${found.token}`]) t.notMatch(text, /very-secret/)
})
