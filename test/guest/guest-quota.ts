/** Runs inside the guest, with a file system that keeps quotas at /mnt/exp. */

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import t from 'tap'
import { leftovers } from '../faults/leftovers.ts'
import { startTestGateway } from '../gateway/harness.ts'
import { service, users } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'

t.setTimeout(150_000)

const top = '/mnt/exp'
const megabyte = 2 ** 20
/** KiB that each account may use. */
const limit = 4096

/** Bytes that an account uses, by the file system's own count. */
function usedBy(uid: number): number {
  const line = execFileSync('/usr/sbin/repquota', ['-n', '-u', top], { encoding: 'utf8' })
  return Number(new RegExp(`^#${uid}\\s+\\S+\\s+(\\d+)`, 'm').exec(line)?.[1] ?? 0) * 1024
}

for (const [grade, uid] of [
  ['native', users.alice.uid],
  ['gateway', service.uid],
] as const) {
  t.test(`an upload beyond the quota is 507 and leaves the old file, ${grade} grade`, async (t) => {
    const root = `${top}/${grade}`
    mkdirSync(root)
    chmodSync(root, 0o777)
    execFileSync('/usr/sbin/setquota', ['-u', String(uid), String(limit), String(limit), '0', '0', top])
    const acl = grade === 'gateway' ? { acl: ['posix'] } : {}
    const gateway = await startTestGateway(t, { mounts: [{ path: '/quota', root, enforce: grade, backend: acl }] })
    t.equal((await gateway.put('/quota/old', 'alice', Buffer.alloc(megabyte, 'o'))).status, 201)
    // By mode bits alone files of the gateway's account are nobody else's to replace.
    chmodSync(`${root}/old`, 0o666)
    const before = usedBy(uid)
    t.ok(before >= megabyte, `the file system counts ${before} bytes`)
    const content = Buffer.alloc(6 * megabyte, 'n')
    const chunks = () => Readable.from(Array.from({ length: 6 }, () => content.subarray(0, megabyte)))
    for (const [what, path, body] of [
      ['announced', '/quota/old', content],
      ['of unknown length', '/quota/old', chunks()],
      ['a new file', '/quota/new', chunks()],
    ] as const) {
      const answer = await gateway.request({ method: 'PUT', path, user: 'alice', body })
      t.equal(answer.status, 507, what)
      t.match(answer.json(), { code: 'quota', status: 507 })
      await eventually(() => leftovers(gateway, root).length === 0 && usedBy(uid) === before, 5000, 'left').catch(
        () => {},
      )
      t.same(leftovers(gateway, root), [], `${what}: no leftover`)
      t.equal(usedBy(uid), before, `${what}: the quota is as before`)
      t.same(readdirSync(root), ['old'])
      t.ok(readFileSync(`${root}/old`).equals(Buffer.alloc(megabyte, 'o')), `${what}: the old file is untouched`)
    }
    t.equal((await gateway.put('/quota/old', 'alice', 'fits')).status, 204, 'what fits is taken')
    writeFileSync(`${root}/others`, Buffer.alloc(8 * megabyte))
    t.equal((await gateway.put('/quota/more', 'alice', Buffer.alloc(megabyte))).status, 201, 'others use their own')
    await gateway.stop()
  })
}
