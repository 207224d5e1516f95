import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openAccountFile } from '../../acl/identity/account-file.ts'
import { createSystemAccounts } from '../../acl/identity/account-system.ts'
import { openAccounts, principalOf } from '../../acl/identity/accounts.ts'
import type { AccountSourceOptions } from '../../acl/identity/options.ts'
import { hashPassword } from '../../acl/identity/password.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { directoryFor, makeClock } from './issuer.ts'
import { refusal } from './setting.ts'

function fileWith(t: Test, text: string, mode = 0o600): string {
  const file = join(directoryFor(t), 'accounts.yaml')
  writeFileSync(file, text)
  chmodSync(file, mode)
  return file
}

function open(accounts: readonly AccountSourceOptions[], minUid = 1000) {
  const options = { domain: 'desy.de', issuers: [], mapping: [], accounts, minUid, administrators: [] }
  return openAccounts(options, Date.now)
}

/** A getent whose answers are lines `database key|line|line`, and which notes what it was asked. */
function fakeGetent(t: Test, answers: Readonly<Record<string, string>>) {
  const directory = directoryFor(t)
  const [program, asked] = [join(directory, 'getent'), join(directory, 'asked')]
  const cases = Object.entries(answers).map(([key, lines]) => `'${key}') printf '%s\\n' '${lines}' ;;`)
  const script = ['#!/bin/sh', `echo "$*" >> '${asked}'`, 'case "$*" in', ...cases, '*) exit 2 ;;', 'esac', '']
  writeFileSync(program, script.join('\n'), { mode: 0o755 })
  writeFileSync(asked, '')
  return { program, asked: () => readFileSync(asked, 'utf8').split('\n').slice(0, -1) }
}

t.test('a file account has its ids, and the names of all its groups', async (t) => {
  const file = fileWith(
    t,
    `users:
  alice: { uid: 2001, gid: 3001, gids: [3002, 3999], groups: [p02] }
  carol: {}
groups: { p01: { gid: 3001 }, p02: { gid: 3002 }, p03: {} }
`,
  )
  const accounts = await open([{ file }])
  const alice = await accounts.find('alice')
  t.same(alice, { name: 'alice', groups: ['p02', 'p01'], ids: { uid: 2001, gid: 3001, gids: [3002, 3999] } })
  t.same(await accounts.find('carol'), { name: 'carol', groups: [] })
  t.same(await accounts.findGroup('p01'), { gid: 3001 })
  t.same(await accounts.findGroup('p03'), {})
  t.equal(await accounts.findGroup('p04'), undefined)
  const joined = new Map([
    ['p03', undefined],
    ['p09', 3009],
  ])
  t.same(principalOf(alice, 'desy.de', { groups: new Set(['/cms@iam']), joined }), {
    user: 'alice@desy.de',
    groups: new Set(['p02@desy.de', 'p01@desy.de', 'p03@desy.de', 'p09@desy.de', '/cms@iam']),
    posix: { uid: 2001, gid: 3001, gids: [3002, 3999, 3009] },
  })
})

t.test('accounts that mean everything or nobody are refused, whatever a file says', async (t) => {
  const file = fileWith(
    t,
    `users:
  toor: { uid: 0, gid: 0 }
  low: { uid: 999, gid: 2000 }
  least: { uid: 1000, gid: 2000 }
  none: { uid: 65534, gid: 65534 }
  big: { uid: 4294967293, gid: 2000 }
  root: { uid: 5000, gid: 5000 }
  nobody: {}
`,
  )
  const accounts = await open([{ file }])
  for (const name of ['toor', 'low', 'none', 'root', 'nobody', 'Alice', '0', '1000', '-h', '', 'a b', '../x']) {
    const error = await accounts.find(name).catch((thrown: unknown) => thrown)
    t.equal(refusal(error), 'denied account-refused', name)
  }
  t.equal(refusal(await accounts.find('nosuch').catch((thrown: unknown) => thrown)), 'denied account-unknown')
  t.equal((await accounts.find('least')).ids?.uid, 1000)
  t.equal((await accounts.find('big')).ids?.uid, 4_294_967_293)
  const lax = await open([{ file }], 1)
  t.equal(refusal(await lax.find('toor').catch((thrown: unknown) => thrown)), 'denied account-refused')
})

t.test('a file that is wrong or writable by others is refused and never quoted', async (t) => {
  const hash = await hashPassword(new Secret('secret'))
  const cases: ReadonlyArray<readonly [string, number, RegExp]> = [
    ['users: {}', 0o660, /written by its group or by others/],
    ['users: {}', 0o602, /written by its group or by others/],
    ['users: { alice: { uid: 1 } }', 0o600, /users\.alice: needs both uid and gid/],
    ['users: { alice: { uid: -1, gid: 1 } }', 0o600, /users\.alice\.uid/],
    ['users: { alice: { uid: "1", gid: 1 } }', 0o600, /users\.alice\.uid/],
    ['users: { alice: { uid: 4294967295, gid: 1 } }', 0o600, /users\.alice\.uid/],
    ['users: { Alice: {} }', 0o600, /users\.Alice/],
    ['users: { alice: { groups: [p01] } }', 0o600, /not in groups/],
    ['users: { alice: { groups: [constructor] } }', 0o600, /not in groups/],
    ['users: { alice: { shell: /bin/sh } }', 0o600, /users\.alice/],
    ['users: { alice: {}, alice: {} }', 0o600, /line 1: DUPLICATE_KEY/],
    [`users:\n  alice: { passwordHash: "${hash}" \n bob: [`, 0o600, /line \d/],
    ['users: { alice: { passwordHash: secret } }', 0o600, /no scrypt hash/],
    ['users: { alice: { passwordHash: "scrypt$1024$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAA" } }', 0o600, /no scrypt hash/],
    ['- alice', 0o600, /accounts\.yaml/],
    ['users: *scrypt$', 0o600, /has an alias that leads nowhere/],
    [`users: { alice: { passwordHash: "${hash}" } }`, 0o604, /holds password hashes and may be read by others/],
  ]
  for (const [text, mode, expected] of cases) {
    const file = fileWith(t, text, mode)
    const error = StorageError.from(await openAccountFile(file).catch((thrown: unknown) => thrown))
    t.equal(error.code, 'invalid', text)
    t.match(error.message, expected)
    t.notMatch(error.message, /scrypt\$/)
  }
  const names = fileWith(t, 'users: { alice: {} }', 0o644)
  t.ok(await (await openAccountFile(names)).find('alice'), 'names may be read by everybody')
  await t.rejects(openAccountFile(join(directoryFor(t), 'none.yaml')), { code: 'invalid', message: /ENOENT/ })
  await t.rejects(openAccountFile(directoryFor(t)), { code: 'invalid', message: /not a regular file/ })
})

t.test('the first source that knows a name answers for it', async (t) => {
  const first = fileWith(t, 'users: { alice: { uid: 2001, gid: 2001 }, low: { uid: 5, gid: 5 } }')
  const second = fileWith(
    t,
    'users: { alice: { uid: 9 , gid: 9 }, bob: { uid: 2002, gid: 2002 }, low: { uid: 2009, gid: 2009 } }',
  )
  const accounts = await open([{ file: first }, { file: second }])
  t.equal((await accounts.find('alice')).ids?.uid, 2001)
  t.equal((await accounts.find('bob')).ids?.uid, 2002)
  const low = await accounts.find('low').catch((thrown: unknown) => thrown)
  t.equal(refusal(low), 'denied account-refused', 'a refusal is not passed on to the next source')
})

t.test('a system account comes from passwd, initgroups and group', async (t) => {
  const { program, asked } = fakeGetent(t, {
    'passwd alice': 'alice:x:2001:3001:Alice:/home/alice:/bin/bash',
    'initgroups alice': 'alice                 3001 3002 3003 3004',
    'group 3001 3002 3003 3004': 'p01:*:3001:\np02:*:3002:alice\nit@win.desy.de:*:3003:\n3005:*:3004:',
    'group cms': 'cms:*:3100:',
  })
  const accounts = await open([{ system: true, getent: program }])
  const [alice, again] = await Promise.all([accounts.find('alice'), accounts.find('alice')])
  const ids = { uid: 2001, gid: 3001, gids: [3001, 3002, 3003, 3004] }
  t.same(alice, { name: 'alice', ids, groups: ['p01', 'p02'] })
  t.equal(again, alice)
  t.same(await accounts.findGroup('cms'), { gid: 3100 })
  t.same(asked(), ['passwd alice', 'initgroups alice', 'group 3001 3002 3003 3004', 'group cms'], 'asked once')
})

t.test('answers of the name service are kept, good ones longer than bad ones', async (t) => {
  const { program, asked } = fakeGetent(t, { 'passwd alice': 'alice:x:2001:2001::/:/bin/sh' })
  const clock = makeClock()
  const source = createSystemAccounts({ now: clock.now, getent: program })
  t.ok(await source.find('alice'))
  t.notOk(await source.find('bob'))
  clock.pass(29)
  await Promise.all([source.find('alice'), source.find('bob')])
  t.same(asked(), ['passwd alice', 'initgroups alice', 'group 2001', 'passwd bob'])
  clock.pass(2)
  await source.find('alice')
  await source.find('bob')
  t.equal(asked().length, 5, 'bob is looked up again')
  clock.pass(300)
  await source.find('alice')
  t.equal(asked().length, 8, 'and in the end alice')
})

t.test('a name service that answers oddly names nobody, and one that fails is unavailable', async (t) => {
  const { program, asked } = fakeGetent(t, {
    'passwd alice': 'ALICE:x:2001:2001::/:/bin/sh',
    'passwd bob': 'bob:x:-1:2001::/:/bin/sh',
    'passwd carol': 'carol:x:4294967295:2001::/:/bin/sh',
    'passwd dave': 'dave',
    'group p01': 'p02:*:3001:',
  })
  const accounts = await open([{ system: true, getent: program }])
  const expected = {
    alice: 'account-unknown',
    bob: 'account-unknown',
    carol: 'account-refused',
    dave: 'account-unknown',
  }
  for (const [name, rule] of Object.entries(expected)) {
    t.equal(refusal(await accounts.find(name).catch((thrown: unknown) => thrown)), `denied ${rule}`, name)
  }
  t.equal(await accounts.findGroup('p01'), undefined, 'a group of another name')
  const before = asked().length
  t.equal(await accounts.findGroup('-s'), undefined)
  t.equal(await accounts.findGroup('0'), undefined)
  t.equal(asked().length, before, 'names outside the grammar are never arguments')

  const directory = directoryFor(t)
  for (const [name, script] of [
    ['broken', '#!/bin/sh\nexit 1\n'],
    ['hanging', '#!/bin/sh\nexec sleep 600\n'],
  ] as const) {
    const getent = join(directory, name)
    writeFileSync(getent, script, { mode: 0o755 })
    const source = createSystemAccounts({ now: Date.now, getent, deadline: 200 })
    await t.rejects(source.find('alice'), { code: 'unavailable' }, name)
    await t.rejects(source.findGroup('cms'), { code: 'unavailable' }, name)
  }
  const missing = await open([{ system: true, getent: join(directory, 'missing') }])
  await t.rejects(missing.find('alice'), { code: 'unavailable' })
})

t.test('the real name service is asked, and its system accounts are refused', async (t) => {
  const accounts = await open([{ system: true }])
  t.equal(refusal(await accounts.find('daemon').catch((thrown: unknown) => thrown)), 'denied account-refused')
  t.same(await accounts.findGroup('daemon'), { gid: 1 })
  const lax = await open([{ system: true }], 1)
  t.match(await lax.find('daemon'), { name: 'daemon', ids: { uid: 1, gid: 1 }, groups: ['daemon'] })
})
