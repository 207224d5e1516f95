/** ACLs by mmgetacl and mmputacl: what is read and written, and everything that can go wrong with a command. */

import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { formatEntry } from '../../acl/codec/nfs4-text.ts'
import { makeAce } from '../../acl/who.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { calm, makeWorld } from './world.ts'

const list: Acl = {
  owner: 'someone',
  group: 'else',
  dialect: 'gpfs',
  aces: [
    makeAce('allow', 0x3, 0x1e01ff, 'OWNER@'),
    makeAce('deny', 0, 0x6, { user: 'DESY\\bob' }),
    makeAce('allow', 0x49, 0x1200a9, { group: 'cms' }),
    makeAce('allow', 0, 0x120088, 'EVERYONE@'),
  ],
}

t.test('a list is written and read back the same, for odd names too', async (t) => {
  const { top, double, scale } = await makeWorld(t)
  const { acls } = scale()
  for (const name of ['plain', '-k', "it's $(odd) `x` \\ ü", 'line\nbreak', '-']) {
    const path = join(top, name)
    await mkdir(path)
    await acls.write(path, list, calm)
    const { acl, writable } = await acls.read(path, calm)
    t.same(acl.aces, list.aces, JSON.stringify(name))
    t.same([acl.owner, acl.group, acl.dialect, writable], ['keeper', 'keepers', 'gpfs', true])
  }
  const [put, get] = await double.calls()
  t.same(put?.args, [join(top, 'plain')])
  t.same(get?.args, ['-k', 'nfs4', join(top, 'plain')])
  t.equal(get?.locale, 'C')
  const known = ['LANG', 'LC_ALL', 'OLDPWD', 'PATH', 'PWD', 'SHLVL', 'TZ', '_']
  t.same(
    get?.environment.filter((name) => !known.includes(name)),
    [],
    'nothing of our environment is passed on',
  )
})

t.test('an object without a list shows its mode, and plain names get the domain', async (t) => {
  const { top, scale } = await makeWorld(t)
  await writeFile(join(top, 'file'), '')
  await chmod(join(top, 'file'), 0o604)
  const { acl } = await scale({ domain: 'desy.de' }).acls.read(join(top, 'file'), calm)
  t.same([acl.owner, acl.group], ['keeper@desy.de', 'keepers@desy.de'])
  t.same(acl.aces.map(formatEntry), ['A::OWNER@:rwatTnNcCoy', 'A::GROUP@:tncy', 'D::GROUP@:r', 'A::EVERYONE@:rtncy'])
})

t.test('the stand-in inherits, changes the mode, and forgets the list with a chmod', async (t) => {
  const { top, scale, double, directory } = await makeWorld(t)
  const { acls } = scale()
  await mkdir(join(top, 'old'))
  await acls.write(top, list, calm)
  t.equal((await stat(top)).mode & 0o777, 0o700)
  await mkdir(join(top, 'new'))
  await writeFile(join(top, 'new', 'file'), '')
  await mkdir(join(top, 'set'))
  const read = async (name: string) => (await acls.read(join(top, name), calm)).acl.aces.map(formatEntry)
  t.match(await read('old'), [/^A::OWNER@/], 'what was there before keeps what it had')
  t.same(await read('new'), [
    'A:dI:OWNER@:rwaDxtTnNcCoy',
    'A:fiI:OWNER@:rwaDxtTnNcCoy',
    'A:fiIg:cms:rxtncy'.replace('fiIg', 'figI'),
  ])
  t.same(await read('new/file'), ['A:I:OWNER@:rwaDxtTnNcCoy', 'A:gI:cms:rxtncy'])
  await double.settle({
    fileSystem: 'gpfs0',
    mountPoint: top,
    filesets: [{ name: 'set', path: join(top, 'set') }],
  })
  t.match(await read('set'), [/^A::OWNER@/], 'inheritance stops at a junction')
  const before = (await stat(join(top, 'new'), { bigint: true })).ctimeNs
  await chmod(join(top, 'new'), 0o750)
  t.match(await read('new'), [/^A::OWNER@/, /^A::GROUP@/, /^A::EVERYONE@/])
  await acls.write(join(top, 'new'), list, calm)
  t.ok((await stat(join(top, 'new'), { bigint: true })).ctimeNs > before, 'ctime moves with the ACL')
  t.ok(existsSync(join(directory, 'double', 'acls')))
})

t.test('only absolute paths without a NUL are given to a command', async (t) => {
  const { double, scale } = await makeWorld(t)
  const { acls } = scale()
  for (const path of ['', '-k', 'relative', '/with\0nul']) {
    await t.rejects(acls.read(path, calm), { code: 'invalid' }, JSON.stringify(path))
    await t.rejects(acls.write(path, list, calm), { code: 'invalid' })
  }
  t.same(await double.calls(), [])
})

t.test('what GPFS cannot store is refused before anything runs', async (t) => {
  const { top, double, scale } = await makeWorld(t)
  const { acls } = scale()
  const special = { ...list, aces: [makeAce('allow', 0, 1, 'AUTHENTICATED@')] }
  await t.rejects(acls.write(top, special, calm), { code: 'unsupported' })
  const retention = { ...list, aces: [makeAce('allow', 0, 0x200, 'OWNER@')] }
  await t.rejects(acls.write(top, retention, calm), { code: 'unsupported' })
  t.same(await double.calls(), [])
})

const secret = 'Stale file handle: /gpfs/secret/plan'

t.test('a command that fails is told by its numbers, never by its words', async (t) => {
  const { top, double, scale } = await makeWorld(t)
  const { acls } = scale()
  const rows: ReadonlyArray<readonly [string, number, string, string]> = [
    ['nothing said', 1, '', 'unavailable'],
    ['prose', 1, `mmgetacl: No such file or directory\n${secret}`, 'unavailable'],
    ['foreign prose', 1, 'mmgetacl: Datei oder Verzeichnis nicht gefunden\n', 'unavailable'],
    ['a plain return code', 2, '', 'unavailable'],
    ['no such file', 2, `mmgetacl: [E:2] ${secret}`, 'not-found'],
    ['not permitted', 13, `[E:13] ${secret}`, 'denied'],
    ['not permitted', 1, '[E:1] no\n', 'denied'],
    ['refused', 22, '[E:22] no\n', 'invalid'],
    ['no NFSv4 ACLs', 95, '[E:95] no\n', 'unsupported'],
    ['a number that is none', 9, '[E:99999999] no\n', 'unavailable'],
    ['the first number counts', 2, '[E:2] first [E:13] second\n', 'not-found'],
    ['the file system is unknown', 1, 'mmgetacl: 6027-1388 [E] no\n', 'unavailable'],
    ['a shell that does not find it', 127, 'ksh: not found\n', 'unavailable'],
    ['very many words', 1, `${'x'.repeat(100_000)}[E:2]`, 'unavailable'],
  ]
  for (const [what, exit, stderr, code] of rows) {
    await double.fail({ mmgetacl: { exit, stderr }, mmputacl: { exit, stderr } })
    const error = await acls.read(top, calm).catch((thrown: unknown) => thrown)
    if (!(error instanceof StorageError)) throw error
    t.equal(error.code, code, what)
    t.notMatch(`${error.message} ${StorageError.reasonOf(error)?.text} ${String(error.cause)}`, /secret|plan/)
    await t.rejects(acls.write(top, list, calm), { code })
  }
})

t.test('an answer that cannot be read is no answer', async (t) => {
  const { top, double, scale } = await makeWorld(t)
  const { acls } = scale()
  await acls.write(top, list, calm)
  const whole = '#NFSv4 ACL\n#owner:root\n#group:root\n'
  const rows: ReadonlyArray<readonly [string, object]> = [
    ['nothing', { garbage: '' }],
    ['HTML', { garbage: '<html><body>503</body></html>\n' }],
    ['the traditional format', { garbage: '#owner:root\n#group:root\nuser::rwxc\ngroup::r-x-\nother::----\n' }],
    ['words of a shell before it', { noise: 'bash: Warnung: setlocale: LC_ALL\n' }],
    ['cut off in the head', { cutAt: 18 }],
    ['cut off in an entry', { cutAt: whole.length + 90 }],
    ['cut off after a line of an entry', { garbage: `${whole}special:owner@:rwxc:allow\n` }],
    ['ended by a signal', { signal: 'SIGTERM' }],
    ['killed', { signal: 'SIGKILL' }],
    ['more than anybody can want', { flood: 4 * 1024 * 1024 }],
    ['bytes that are no text', { hex: '234e465376342041434c0a236f776e65723aff0a' }],
  ]
  for (const [what, fault] of rows) {
    await double.fail({ mmgetacl: fault })
    await t.rejects(acls.read(top, calm), { name: 'StorageError', code: 'unavailable' }, what)
  }
  await double.fail({})
  t.same((await acls.read(top, calm)).acl.aces, list.aces, 'and the next one is fine')
})

t.test('a list with unknown parts is read and not writable', async (t) => {
  const { top, double, scale } = await makeWorld(t)
  const cells = ` (X)READ/LIST (-)WRITE/CREATE (-)APPEND/MKDIR (-)SYNCHRONIZE (-)READ_ACL (-)READ_ATTR (-)READ_NAMED
 (-)DELETE (-)DELETE_CHILD (-)CHOWN (-)EXEC/SEARCH (-)WRITE_ACL (-)WRITE_ATTR (-)WRITE_NAMED`
  const text = (flag: string, more: string) =>
    `#NFSv4 ACL\r\n#owner:1234\r\n#group:physics\r\nuser:bob:r---:allow${flag}\r\n${cells}${more}\r\n`
  for (const [flag, more, writable] of [
    ['', '', true],
    [':Later', '', false],
    ['', ' (X)TELEPORT', false],
  ] as const) {
    await double.fail({ mmgetacl: { garbage: text(flag, more) } })
    const read = await scale().acls.read(top, calm)
    t.equal(read.writable, writable, `${flag}${more}`)
    t.same(read.acl.owner, '1234')
    t.same(read.acl.aces.map(formatEntry), ['A::bob:r'])
  }
})

t.test('a list that changes between two calls is seen as it is', async (t) => {
  const { top, double, scale } = await makeWorld(t)
  const { acls } = scale()
  await acls.write(top, list, calm)
  const other = await readFile(join(import.meta.dirname, '../doubles/gpfs/other-acl.txt'), 'utf8')
  await double.fail({ mmgetacl: { times: 1, after: [{ setAcl: [top, other] }] } })
  t.same((await acls.read(top, calm)).acl.aces, list.aces)
  t.same((await acls.read(top, calm)).acl.aces.map(formatEntry), ['A::OWNER@:rwaxtTnNcCoy'])
})

t.test('a program that is not there is unavailable, as often as it is asked', async (t) => {
  const { top, directory, scale } = await makeWorld(t)
  const { acls } = scale({ directory: join(directory, 'nowhere'), atOnce: 1 })
  for (let i = 0; i < 3; i++) await t.rejects(acls.read(top, calm), { code: 'unavailable' })
  await symlink('/dev/null', join(directory, 'mmgetacl'))
  const notRunnable = scale({ directory, atOnce: 1 }).acls
  for (let i = 0; i < 2; i++) await t.rejects(notRunnable.read(top, calm), { code: 'unavailable' })
})

t.test('words before a command are words of their own', async (t) => {
  const { top, scale } = await makeWorld(t)
  const { acls } = scale({ prefix: ['/usr/bin/env', 'A=with blank; and more'] })
  t.ok((await acls.read(top, calm)).writable)
})
