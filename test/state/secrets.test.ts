import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import { openState } from '../../gateway/state/open.ts'
import { MasterKey, parseMasterKeys, SecretStore } from '../../gateway/state/secrets.ts'

const oldKey = 'a1'.repeat(32)
const newKey = Buffer.alloc(32, 7).toString('base64')

t.test('a sealed value opens with its key and its context alone', async (t) => {
  const key = new MasterKey(Buffer.alloc(32, 1))
  const sealed = key.seal(new Secret('plain'), 's3/AKIA1')
  t.equal(key.open(sealed, 's3/AKIA1').reveal(), 'plain')
  t.notMatch(sealed, 'plain')
  t.not(sealed, key.seal(new Secret('plain'), 's3/AKIA1'), 'never the same twice')
  t.throws(() => key.open(sealed, 's3/AKIA2'), { code: 'internal' })
  t.throws(() => new MasterKey(Buffer.alloc(32, 2)).open(sealed, 's3/AKIA1'), { code: 'internal' })
  const at = sealed.length - 5
  const changed = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`
  t.throws(() => key.open(changed, 's3/AKIA1'), { code: 'internal' })
  for (const bad of ['', 'v1', `v1.${key.id}.`, `v2${sealed.slice(2)}`, sealed.slice(0, 40)]) {
    t.throws(() => key.open(bad, 's3/AKIA1'), { code: 'internal' }, bad)
  }
})

t.test('a key does not print', async (t) => {
  const key = new MasterKey(Buffer.from(oldKey, 'hex'))
  for (const text of [inspect(key, { depth: 9, showHidden: true }), JSON.stringify(key), String(key)]) {
    t.notMatch(text, 'a1a1')
    t.notMatch(text, '161')
  }
})

t.test('a key file holds keys in hex or base64, the sealing one first', async (t) => {
  const keys = parseMasterKeys(new Secret(`# the keys\n\n${newKey}  # new\n${oldKey}\n`))
  t.same(
    keys.map((key) => key.id),
    [new MasterKey(Buffer.alloc(32, 7)).id, new MasterKey(Buffer.from(oldKey, 'hex')).id],
  )
  for (const bad of ['', '# only words\n', 'abcd', `${oldKey}ff`, oldKey.slice(1), `${oldKey} ${oldKey}`]) {
    t.throws(() => parseMasterKeys(new Secret(bad)), { code: 'invalid' }, bad)
  }
})

t.test('secrets survive a rotation of the master key', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-secrets-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const state = await openState({ directory })
  const [before, both, after] = [oldKey, `${newKey}\n${oldKey}`, newKey].map((text) =>
    parseMasterKeys(new Secret(text)),
  )
  const first = await SecretStore.open(state, before ?? [])
  await first.set('s3/a', new Secret('alpha'))
  await first.set('s3/b', new Secret('beta'))
  await t.rejects(SecretStore.open(state, after ?? []), { code: 'invalid' }, 'a wrong key is noticed at once')

  const rotating = await SecretStore.open(state, both ?? [])
  t.equal((await rotating.get('s3/a'))?.reveal(), 'alpha')
  t.equal(await rotating.rotate(), 2)
  t.equal(await rotating.rotate(), 0)

  const done = await SecretStore.open(state, after ?? [])
  t.equal((await done.get('s3/a'))?.reveal(), 'alpha')
  t.equal((await done.get('s3/b'))?.reveal(), 'beta')
  t.equal(await done.get('s3/c'), undefined)
  await done.remove('s3/a')
  t.equal(await done.get('s3/a'), undefined)
  await t.rejects(SecretStore.open(state, before ?? []), { code: 'invalid' }, 'the old key opens nothing any more')
  await state.close()
  t.notMatch(readFileSync(join(directory, 'state.sqlite'), 'latin1'), 'beta')
})
