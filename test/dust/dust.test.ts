/** DUST over GPFS and over NFS: who decides, and whose space is how full. */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { DustBackend, type DustOptions } from '../../backends/dust/dust.ts'
import type { Quota } from '../../backends/gpfs/providers.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { conformance, type Deviation } from '../backends/conformance.ts'
import { directoryWith, type Gpfs, type Made, makeGpfs } from '../gpfs/backend-world.ts'
import { act, alice, bob, callOf, codeOf, fill, makeTree } from '../posix/backend-world.ts'

const at = parsePath
t.setTimeout(120_000)
const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'

const quota = (used: number, hardLimit: number): Quota => ({
  bytes: { used, hardLimit, softLimit: undefined, inDoubt: 0 },
  files: { used: 1, hardLimit: undefined, softLimit: undefined, inDoubt: 0 },
})

/** /user/alice, and /group/cms/big, which is a fileset, and /group/cms/small. */
const spaces: NonNullable<Made['prepare']> = ({ directory, acls, info }) => {
  for (const name of ['user', 'user/alice', 'group', 'group/cms', 'group/cms/big', 'group/cms/small']) {
    directoryWith(acls, `${directory}/${name}`)
    chmodSync(`${directory}/${name}`, 0o755)
  }
  info.list.push({ name: 'big', junction: `${directory}/group/cms/big`, independent: false })
  info.kept.set('user:alice', quota(10, 100))
  info.kept.set('user:41001', quota(55, 66))
  info.kept.set('group:cms', quota(20, 200))
  info.kept.set('fileset:big', quota(30, 300))
}

/** A second back end over the world's tree. */
async function setUp(t: Test, make: (gpfs: Gpfs) => DustOptions): Promise<Gpfs & { readonly dust: DustBackend }> {
  const gpfs = await makeGpfs({ prepare: spaces, clockTolerance: 0 })
  const dust = new DustBackend(make(gpfs), gpfs.services)
  await dust.ready()
  t.teardown(async () => {
    await dust.close()
    await gpfs.end()
  })
  return { ...gpfs, dust }
}

async function usage(dust: DustBackend, path: string, who = bob) {
  const { used, limit } = await act(dust.quotas.usage(at(path), callOf(who)))
  return [used, limit]
}

t.test('over GPFS, usage is that of the space, whoever asks', async (t) => {
  const { dust, directory, scale } = await setUp(t, ({ directory, scale }) => ({
    over: 'gpfs',
    root: directory,
    grade: 'gateway',
    threads: 1,
    scale,
  }))
  t.same(await usage(dust, '/user/alice'), [10, 100])
  t.same(await usage(dust, '/group/cms/big'), [30, 300], 'a fileset of its own')
  t.same(await usage(dust, '/group/cms/small'), [20, 200], "the group's")
  t.not((await usage(dust, '/group/cms'))[1], 200, 'not a space')
  t.equal(await codeOf(usage(dust, '/user/nobody')), 'not-found')
  t.ok(dust.acls)
  t.ok(dust.versions)
  t.equal(dust.name, `dust:${directory}`)
  t.equal(scale.acls.kind, 'commands')
})

t.test('over NFS, usage is what the server tells, or Scale by its management API', { skip }, async (t) => {
  const { dust, directory, info } = await setUp(t, ({ directory, info }) => ({
    over: 'nfs',
    root: directory,
    threads: 1,
    info,
    path: directory,
  }))
  chmodSync(directory, 0o755)
  t.same(await usage(dust, '/user/alice'), [10, 100])
  info.broken = true
  t.ok(((await usage(dust, '/group/cms/small'))[1] ?? 0) > 1000, 'the whole file system')
  const plain = await setUp(t, ({ directory }) => ({ over: 'nfs', root: directory, threads: 1 }))
  chmodSync(plain.directory, 0o755)
  t.ok(((await usage(plain.dust, '/user/alice'))[1] ?? 0) > 1000)
})

t.test('over NFS the server decides, and where it hides its ACL nobody guesses', { skip }, async (t) => {
  const { dust, directory } = await setUp(t, ({ directory }) => ({ over: 'nfs', root: directory, threads: 1 }))
  chmodSync(directory, 0o755)
  t.ok(dust.enforces())
  mkdirSync(`${directory}/d`)
  writeFileSync(`${directory}/d/f`, 'x')
  chmodSync(`${directory}/d`, 0o755)
  const { entry } = await dust.walk(at('/d/f'), callOf(alice))
  t.equal(entry?.acl, undefined, 'mode bits are no ACL here')
  t.equal(await dust.rights?.effective(at('/d/f'), callOf(alice)), 'unknown')
  t.equal(await codeOf(Promise.resolve(dust.rights?.effective(at('/d/none'), callOf(alice)))), 'not-found')
  chmodSync(`${directory}/d/f`, 0o600)
  t.equal(await codeOf(act(dust.open(at('/d/f'), {}, callOf(alice)))), 'denied')
  const set = dust.acls?.set(
    at('/d/f'),
    { owner: undefined, group: undefined, aces: [], dialect: 'rfc8881' },
    {},
    callOf(alice),
  )
  t.equal(set && (await codeOf(act(set))), 'unsupported')
})

t.test('over NFS in the gateway grade an ACL that the server hides is a refusal', async (t) => {
  const { dust } = await setUp(t, ({ directory }) => ({ over: 'nfs', grade: 'gateway', root: directory, threads: 1 }))
  t.notOk(dust.enforces())
  t.equal((await dust.walk(at('/user'), callOf(alice))).entry?.acl, undefined)
})

/** The tree below is ext4 or tmpfs and shows no NFSv4 ACL. */
const hidden: readonly Deviation[] = [
  'a file that took the name after the look keeps its ACL',
  'an ACL is stored as given and changes no owner and no version',
  'an ACL is set only over the state that was seen',
  'new objects inherit the entries that are marked so',
].map((test) => ({ test, reason: 'what is below shows no NFSv4 ACL, and where none is shown none is set' }))

t.test('over NFS it keeps the rules of every back end', { skip }, (t) =>
  conformance(t, {
    name: 'dust over nfs',
    deviations: hidden,
    start: async () => {
      const tree = await makeTree({ grade: 'native' })
      const options = { root: tree.directory, threads: 2, sync: 'never', reserved: ['.snapshots'] } as const
      const backend = new DustBackend({ over: 'nfs', ...options }, tree.services)
      await backend.ready()
      return {
        backend,
        principals: [alice, bob] as const,
        reserved: ['.snapshots'],
        fill: async (directory: string, names: readonly string[]) => fill(tree.real(directory), names),
        leftovers: async () => tree.leftovers(),
        cleanup: tree.end,
      }
    },
  }),
)
