/** A mount that each process uses with the Kerberos tickets of its user (`--identity per-process`). */

import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type UserName, users } from '../gateway/people.ts'
import { noKerberos, startTicketWorld } from '../kerberos/world.ts'
import { outOfReach } from '../reach.ts'
import { as } from './as.ts'
import { mountGateway } from './mounted.ts'
import { closedWay } from './places.ts'

const skip = closedWay('root') || noKerberos() || outOfReach()

t.test('who has tickets is who they are for, and nobody uses those of another', { skip }, async (t) => {
  const { gateway, kdc, login } = await startTicketWorld(t)
  const files = mkdtempSync(join(tmpdir(), 'portolan-caches-'))
  chmodSync(files, 0o755)
  t.teardown(() => rmSync(files, { recursive: true, force: true }))
  const config = join(files, 'krb5.conf')
  copyFileSync(join(kdc.directory, 'krb5.conf'), config)
  chmodSync(config, 0o644)
  const cacheOf = async (user: UserName) => {
    const file = join(files, user)
    copyFileSync(await login(user), file)
    chownSync(file, users[user].uid, users[user].gid)
    chmodSync(file, 0o600)
    return `FILE:${file}`
  }
  const [alice, bob] = [await cacheOf('alice'), await cacheOf('bob')]
  const url = `http://localhost:${gateway.port}`
  const mount = await mountGateway(
    t,
    { url, standingToken: (user) => gateway.standingToken(user) },
    { options: ['--allow-other', '--identity', 'per-process'], environment: { KRB5_CONFIG: config } },
  )
  const data = join(mount.mountpoint, 'data')
  const own = `cat ${data}/closed/own`
  t.match(await as('alice', { KRB5CCNAME: alice }, own), { code: 0, out: 'for alice alone\n' }, mount.log())
  t.match(await as('bob', { KRB5CCNAME: bob }, own), { code: 1, err: /Permission denied/ })
  t.match(await as('bob', { KRB5CCNAME: bob }, `cat ${data}/hello`), { code: 0, out: 'hello\n' })
  t.match(await as('bob', { KRB5CCNAME: alice }, own), { code: 1, err: /Permission denied/ }, 'it is opened as bob')
  t.match(await as('alice', { KRB5CCNAME: `FILE:${data}/hello` }, own), { code: 1 }, 'one on the mount is out of reach')
  t.match(await as('alice', {}, own), { code: 1 }, 'and without any there is no identity')
  t.equal(await mount.end(), 0)
})
