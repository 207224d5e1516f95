/**
 * A new user in a container: an ordinary account in a user namespace, no privilege, no fusermount3, a token in a file. She
 * mounts, computes, sees what the ACLs allow, reads why not, and goes on over a restart of the gateway and a new token.
 */

import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { asRoot } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { startLab } from './mounted.ts'
import { closedWay, openPlace } from './places.ts'

t.setTimeout(300_000)

const program = resolve(import.meta.dirname, '../../gateway/cli.ts')
const chunks = join(import.meta.dirname, 'chunks.py')

async function newcomer(t: Test, files: Readonly<Record<string, string>>) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-newcomer-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 20 }))
  chmodSync(directory, 0o755)
  const place = await openPlace(t, 'namespace', directory)
  const give = (path: string) => asRoot && chownSync(path, place.uid, place.gid)
  give(directory)
  mkdirSync(join(directory, 'data'))
  give(join(directory, 'data'))
  /** In one step, as sidecars do it. */
  const put = (name: string, text: string) => {
    const path = join(directory, name)
    writeFileSync(`${path}.new`, text, { mode: 0o600 })
    give(`${path}.new`)
    renameSync(`${path}.new`, path)
  }
  for (const [name, text] of Object.entries(files)) put(name, text)
  const portolan = (...words: string[]) => place.run(process.execPath, [program, ...words])
  return { place, directory, data: join(directory, 'data'), put, portolan }
}

t.test('a new user with nothing but a token', { skip: closedWay('namespace') }, async (t) => {
  const gateway = await startLab(t)
  const { port } = gateway
  const { place, directory, data, portolan } = await newcomer(t, { token: await gateway.token('alice') })
  const mine = join(data, 'lab/alice')

  t.equal(await portolan('mount', '--token-file', join(directory, 'token'), gateway.url, data), '', 'it says nothing')
  t.teardown(() => portolan('umount', '--lazy', data).catch(() => {}))
  t.match(await portolan('mount'), new RegExp(data), 'and is listed')

  await t.test('analyses her data', async (t) => {
    await place.run('python3', [chunks, join(mine, 'run1'), '16', '100'])
    t.match(await place.run('df', ['-h', data]), /data/)
    t.match(await place.run('ls', ['-l', mine]), /^-rw.* root .* run1$/m, 'what is hers is shown as her own')
  })

  await t.test('sees what the ACLs allow, and reads why not', async (t) => {
    t.same((await place.run('ls', [join(data, 'lab')])).trim().split('\n'), ['alice', 'bob', 'box', 'p01'])
    await t.rejects(place.run('ls', [join(data, 'lab/bob')]), { message: /Permission denied/ })
    const why = await place.run('getfattr', ['--only-values', '-n', 'user.portolan.explain', join(data, 'lab/bob')])
    t.match(why, /read: NO, .* LIST_DIRECTORY/)
    const rights = await place.run('getfattr', ['--only-values', '-n', 'user.portolan.rights', join(mine, 'run1')])
    t.match(rights, /r.*w/)
    const acl = await place.run('nfs4_getfacl', [join(mine, 'run1')])
    t.match(acl, /^A:.*:OWNER@:r/m)
  })

  await t.test('gives a colleague the right to read by nfs4_setfacl', async (t) => {
    const file = join(mine, 'run1')
    for (const path of [mine, file]) await place.run('nfs4_setfacl', ['-a', 'A::carol@lab.example:rxtncy', path])
    t.equal((await gateway.get('/lab/alice/run1', 'carol', { Range: 'bytes=0-6' })).text, 'CHUNKED')
    t.equal((await gateway.get('/lab/alice/run1', 'bob')).status, 403)
  })

  await t.test('goes on over a restart of the gateway', async (t) => {
    const reading = place.run('python3', [chunks, join(mine, 'run1'), '0', '4000', 'read'])
    const writing = place.run('python3', [chunks, join(mine, 'run2'), '64', '200'])
    await gateway.kill9()
    gateway.configure((config) => Object.assign(config, { listen: [{ address: '127.0.0.1', port }] }))
    await gateway.start()
    await t.resolves(reading)
    await t.resolves(writing)
  })

  await t.test('goes on with a new token when the old one has expired', async (t) => {
    const now = Math.floor(Date.now() / 1000)
    const brief = await newcomer(t, { token: await gateway.token('alice', { exp: now + 12, iat: now }) })
    const file = join(brief.data, 'lab/alice/run1')
    await brief.portolan('mount', '--token-file', join(brief.directory, 'token'), gateway.url, brief.data)
    t.teardown(() => brief.portolan('umount', '--lazy', brief.data).catch(() => {}))
    const read = () => brief.place.run('dd', [`if=${file}`, 'bs=64k', 'count=1', 'iflag=direct', 'status=none'])
    const works = () =>
      read().then(
        () => true,
        () => false,
      )
    t.equal(await works(), true)
    await eventually(async () => !(await works()), 90_000, 'it still reads with an expired token')
    await t.rejects(read(), { message: /Permission denied/ })
    brief.put('token', await gateway.token('alice'))
    await eventually(works, 5000, 'it does not read with the new token')
    t.pass('and reads again')
  })

  await t.test('leaves nothing behind', async (t) => {
    await portolan('umount', data)
    t.notMatch(await place.run('cat', ['/proc/mounts']), data)
    t.notMatch(readFileSync(join(directory, 'token'), 'utf8'), /\n\n/)
  })
})
