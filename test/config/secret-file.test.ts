import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { readSecret } from '../../gateway/config/secret-file.ts'

const directory = mkdtempSync(join(tmpdir(), 'portolan-secret-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))

t.test('a file that only its owner can read is a secret', async (t) => {
  const file = join(directory, 'good')
  writeFileSync(file, 'hush\n', { mode: 0o600 })
  const secret = await readSecret({ file })
  t.equal(secret.reveal(), 'hush\n')
  t.notMatch(inspect(secret), 'hush')
})

t.test('a file that others can read or write is refused', async (t) => {
  const file = join(directory, 'open')
  writeFileSync(file, 'hush', { mode: 0o600 })
  const isRoot = process.getuid?.() === 0
  for (const mode of [0o604, 0o644, 0o602, 0o620, 0o660, 0o610, ...(isRoot ? [] : [0o640])]) {
    chmodSync(file, mode)
    await t.rejects(readSecret({ file }), { code: 'invalid' }, mode.toString(8))
  }
})

const needsRoot = process.getuid?.() !== 0 && 'needs root, to make files of others'

t.test("root's file may be read by its group, a stranger's file never counts", { skip: needsRoot }, async (t) => {
  const file = join(directory, 'owned')
  writeFileSync(file, 'hush', { mode: 0o600 })
  chmodSync(file, 0o640)
  t.equal((await readSecret({ file })).reveal(), 'hush')
  chownSync(file, 12_345, 12_345)
  chmodSync(file, 0o600)
  await t.rejects(readSecret({ file }), { code: 'invalid' })
})

t.test('what is missing, no file or too long is an error', async (t) => {
  await t.rejects(readSecret({ file: join(directory, 'none') }), { code: 'invalid', message: /ENOENT/ })
  await t.rejects(readSecret({ file: directory }), { code: 'invalid' })
  const long = join(directory, 'long')
  writeFileSync(long, Buffer.alloc(2 ** 20 + 1), { mode: 0o600 })
  await t.rejects(readSecret({ file: long }), { code: 'invalid' })
})

t.test('a secret may come from the environment', async (t) => {
  process.env.PORTOLAN_TEST_SECRET = 'hush'
  t.equal((await readSecret({ env: 'PORTOLAN_TEST_SECRET' })).reveal(), 'hush')
  delete process.env.PORTOLAN_TEST_SECRET
  await t.rejects(readSecret({ env: 'PORTOLAN_TEST_SECRET' }), { code: 'invalid' })
})

t.test('a pipe is no file, and nobody waits for it', { timeout: 20_000 }, async (t) => {
  const file = join(directory, 'pipe')
  execFileSync('mkfifo', ['-m', '600', file])
  await t.rejects(readSecret({ file }), { code: 'invalid', message: `${file}: is not a file` })
})
