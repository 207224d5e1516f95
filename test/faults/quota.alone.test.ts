/** A quota that is used up, wherever the file system tells of it. Needs root and FUSE, to have one that does. */

import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { fsetxattr } from '../../backends/posix/native/sys.ts'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { service } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { Guarded, openToAll } from '../gateway/tree.ts'
import type { Shortage } from '../peers/fuse-tree.ts'
import { type HangingFuse, noFuse, startHangingFuse } from '../peers/hanging-fuse.ts'
import { withFile } from '../posix/backend-world.ts'
import { leftovers } from './leftovers.ts'

t.setTimeout(120_000)

const skip = noFuse()
const old = Buffer.alloc(300_000, 'old')
const content = Buffer.alloc(500_000, 'new')

interface Lab {
  readonly gateway: TestGateway
  readonly fuse: HangingFuse
  /** Alice's directory on it, with `old` in it. */
  readonly tree: string
}

async function start(t: Test, shortage: Shortage): Promise<Lab> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-quota-'))
  chmodSync(directory, 0o755)
  const fuse = await startHangingFuse(directory)
  t.teardown(async () => {
    await fuse.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  await fuse.shorten(shortage)
  for (const name of readdirSync(fuse.mountpoint)) rmSync(join(fuse.mountpoint, name))
  chownSync(fuse.mountpoint, service.uid, service.gid)
  const tree = new Guarded(fuse.mountpoint)
  tree.directory('', 'alice', openToAll)
  tree.directory('alice', 'alice', ['A:fd:OWNER@:rwaDdxtTnNcCoy'])
  tree.file('alice/old', 'alice', old)
  // What a local program has put on it goes over to the file that replaces it.
  withFile(join(tree.top, 'alice/old'), (fd) => fsetxattr(fd, 'user.label', Buffer.from('x'), 0))
  const gateway = await startTestGateway(t, { mounts: [{ path: '/quota', root: fuse.mountpoint }] })
  return { gateway, fuse, tree: join(fuse.mountpoint, 'alice') }
}

/** Where the file system says that the quota is used up. */
const places: readonly (readonly [what: string, shortage: Shortage])[] = [
  ['at the first byte', { bytes: 0 }],
  ['in the middle of a write', { bytes: 200_001 }],
  ['at the last byte', { bytes: content.length - 1 }],
  ['when the bytes go to disk', { refused: ['fsync'] }],
  ['when the file is made', { refused: ['create', 'tmpfile'] }],
  ['when the ACL or a label is set', { refused: ['setxattr'] }],
  ['when it gets its name', { refused: ['link', 'rename', 'rename2'] }],
]

for (const unnamed of [true, false]) {
  const drafts = unnamed ? 'files without a name' : 'hidden names'
  t.test(
    `a quota that is used up is 507 and changes nothing, with ${drafts}`,
    { skip, timeout: 100_000 },
    async (t) => {
      const { gateway, fuse, tree } = await start(t, { unnamed })
      for (const [what, shortage] of places) {
        for (const [name, announced] of [
          ['old', true],
          ['new', true],
          ['old', false],
        ] as const) {
          await fuse.shorten({ ...shortage, unnamed })
          const body = announced ? content : Readable.from([content.subarray(0, 250_000), content.subarray(250_000)])
          const answer = await gateway.request({ method: 'PUT', path: `/quota/alice/${name}`, user: 'alice', body })
          await fuse.shorten({ unnamed })
          const how = `${what}, ${name}, ${announced ? 'announced' : 'of unknown length'}`
          t.equal(answer.status, 507, how)
          t.match(answer.json(), { code: 'quota', status: 507 }, how)
          t.match(await gateway.auditOf(answer), { code: 'quota' }, how)
          const clean = () => leftovers(gateway, tree).length === 0
          await eventually(clean, 5000, 'something is left').catch(() => {})
          t.same(leftovers(gateway, tree), [], `${how}: no leftover`)
          t.same(readdirSync(tree), ['old'], how)
          t.ok(readFileSync(join(tree, 'old')).equals(old), `${how}: the old file is untouched`)
        }
      }
      await fuse.shorten({ unnamed, refused: [unnamed ? 'create' : 'tmpfile'] })
      t.equal((await gateway.put('/quota/alice/old', 'alice', content)).status, 204, 'and then there is room again')
      t.ok(readFileSync(join(tree, 'old')).equals(content))
    },
  )
}

t.test('a file system that cannot sync a directory takes files all the same', { skip, timeout: 60_000 }, async (t) => {
  const { gateway, fuse, tree } = await start(t, {})
  await fuse.shorten({ directoriesUnsynced: true })
  t.equal((await gateway.put('/quota/alice/new', 'alice', content)).status, 201)
  t.equal((await gateway.put('/quota/alice/old', 'alice', content)).status, 204)
  t.equal((await gateway.request({ method: 'DELETE', path: '/quota/alice/old', user: 'alice' })).status, 204)
  t.same(readdirSync(tree), ['new'])
  t.same(leftovers(gateway, tree), [])
})
