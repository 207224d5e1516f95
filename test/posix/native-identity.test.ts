/** Threads that act as a user: what the kernel lets them, and what we refuse before. Needs root. */

import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { IoPool } from '../../backends/posix/io/pool.ts'
import type { RunAs } from '../../backends/posix/io/protocol.ts'
import { checkIds, nobody } from '../../backends/posix/native/identity.ts'
import { asAccount } from '../../backends/posix/native/process.ts'
import type { PosixSetup } from '../../backends/posix/options.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { outOfReach } from '../reach.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root to switch'
const forever = new AbortController().signal
const alice = { uid: 61001, gid: 61001, gids: [61001] }
const bob = { uid: 61002, gid: 61002, gids: [61002] }

type Act = <T>(operation: string, args: unknown, ids: RunAs) => Promise<T>

function poolAsItIs(): IoPool {
  return new IoPool({
    name: 'native',
    threads: 1,
    queue: 100,
    deadline: 10_000,
    posix: {} as PosixSetup,
    identity: { minUid: 1000 },
    operationsModule: new URL('./pool-operations.ts', import.meta.url).href,
  })
}

/** One thread, so that every call meets what the one before has left; and a directory where everybody may write. */
async function setting(t: Test): Promise<{ readonly act: Act; readonly top: string }> {
  const pool = poolAsItIs()
  t.teardown(() => pool.close())
  await pool.ready()
  const top = mkdtempSync(join(tmpdir(), 'portolan-identity-'))
  t.teardown(() => rmSync(top, { recursive: true, force: true }))
  chmodSync(top, 0o777)
  return { act: (operation, args, ids) => pool.run(operation, args, ids, forever), top }
}

t.test('files are made by the user and belong to the user', { skip }, async (t) => {
  const { act, top } = await setting(t)
  for (const [name, ids] of [
    ['alice', alice],
    ['bob', bob],
    ['nobody', nobody],
  ] as const) {
    await act('create', { path: join(top, name), mode: 0o640 }, ids)
    t.match(statSync(join(top, name)), { uid: ids.uid, gid: ids.gid })
  }
})

t.test("another's file of mode 0600 is refused by the kernel, one's own is not", { skip }, async (t) => {
  const { act, top } = await setting(t)
  const path = join(top, 'private')
  writeFileSync(path, 'for alice', { mode: 0o600 })
  chownSync(path, alice.uid, alice.gid)
  t.equal(Buffer.from(await act<Uint8Array>('read', { path }, alice)).toString(), 'for alice')
  for (const ids of [bob, nobody]) await t.rejects(act('read', { path }, ids), { code: 'denied' })
  t.equal(Buffer.from(await act<Uint8Array>('read', { path }, alice)).toString(), 'for alice', 'and again')
  await t.rejects(act('read', { path }, 'gateway'), { code: 'denied' }, 'without CAP_DAC_OVERRIDE root is refused too')
})

t.test('groups count, more than 16 of them, and only for their holder', { skip }, async (t) => {
  const { act, top } = await setting(t)
  const gids = Array.from({ length: 40 }, (_, index) => 62000 + index)
  for (const gid of [62000, 62017, 62039]) {
    const path = join(top, `group-${gid}`)
    writeFileSync(path, 'shared')
    chownSync(path, 63000, gid)
    chmodSync(path, 0o040)
    const member = { ...alice, gids: gids.toReversed() }
    t.equal(Buffer.from(await act<Uint8Array>('read', { path }, member)).toString(), 'shared')
    await t.rejects(act('read', { path }, alice), { code: 'denied' }, 'groups of the call before are gone')
  }
})

t.test('a set-group-id directory hands on its group, mode is taken as given', { skip }, async (t) => {
  const { act, top } = await setting(t)
  const directory = join(top, 'group')
  mkdirSync(directory)
  chownSync(directory, bob.uid, 62001)
  chmodSync(directory, 0o2777)
  await act('create', { path: join(directory, 'file'), mode: 0o666 }, alice)
  t.match(statSync(join(directory, 'file')), { uid: alice.uid, gid: 62001 })
})

t.test('a sticky directory protects from others', { skip }, async (t) => {
  const { act, top } = await setting(t)
  chmodSync(top, 0o1777)
  const path = join(top, 'file')
  await act('create', { path, mode: 0o666 }, alice)
  await t.rejects(act('remove', { path }, bob), { code: 'denied' })
  await act('remove', { path }, alice)
})

t.test('the superuser, his group, system accounts and callers without ids never act', { skip }, async (t) => {
  const { act, top } = await setting(t)
  const path = join(top, 'file')
  const refused: readonly RunAs[] = [
    { uid: 0, gid: 61001, gids: [] },
    { uid: 61001, gid: 0, gids: [] },
    { uid: 61001, gid: 61001, gids: [61001, 0] },
    { uid: 999, gid: 61001, gids: [] },
    { uid: -1, gid: 61001, gids: [] },
    { uid: 0xffff_ffff, gid: 61001, gids: [] },
    { uid: 2 ** 32, gid: 61001, gids: [] },
    { uid: 1000.5, gid: 61001, gids: [] },
    { uid: Number.NaN, gid: 61001, gids: [] },
    undefined,
  ]
  for (const ids of refused) {
    await t.rejects(act('create', { path, mode: 0o600 }, ids), { code: 'denied' }, JSON.stringify(ids))
  }
  t.throws(() => statSync(path), { code: 'ENOENT' })
  t.throws(() => checkIds({ uid: 1000, gid: 1000, gids: Array(65537).fill(1000) }, 1000), { code: 'denied' })
})

t.test('nobody acts as the account of the gateway', { skip: skip || outOfReach() }, async (t) => {
  const service = { uid: 61234, gid: 61235 }
  // The thread is what the one that starts it is at that moment.
  const pool = asAccount(service, poolAsItIs)
  t.teardown(() => pool.close())
  await pool.ready()
  const top = mkdtempSync(join(tmpdir(), 'portolan-identity-'))
  t.teardown(() => rmSync(top, { recursive: true, force: true }))
  chmodSync(top, 0o777)
  const create = (name: string, ids: RunAs) =>
    pool.run('create', { path: join(top, name), mode: 0o600 }, ids, forever).then(String, (error: unknown) => error)
  const refused = await create('service', { ...service, gids: [] })
  t.match(refused, { code: 'denied' })
  t.match(StorageError.reasonOf(StorageError.from(refused)), { rule: 'posix-ids', text: /61234 is the gateway's own/ })
  t.throws(() => statSync(join(top, 'service')), { code: 'ENOENT' })
  await create('alice', alice)
  t.equal(statSync(join(top, 'alice')).uid, alice.uid)
  await create('housekeeping', 'gateway')
  t.equal(statSync(join(top, 'housekeeping')).uid, service.uid, 'but for itself')
})

t.test('the main thread stays what it is', { skip }, async (t) => {
  const { act, top } = await setting(t)
  const before = readFileSync('/proc/thread-self/status', 'utf8').match(/^(Uid|Gid|Groups|Cap.*):.*$/gm)
  await act('create', { path: join(top, 'file'), mode: 0o600 }, alice)
  const after = readFileSync('/proc/thread-self/status', 'utf8').match(/^(Uid|Gid|Groups|Cap.*):.*$/gm)
  t.same(after, before)
})

t.test('a thread keeps no capability but those to switch, whoever started it', { skip }, async (t) => {
  const { act } = await setting(t)
  t.same(await act('capabilities', {}, alice), { effective: 0xc0n, permitted: 0xc0n, inheritable: 0n })
})
