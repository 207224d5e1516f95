/** ACLs on a mount with the tools for NFSv4 (nfs4_getfacl(1), nfs4_setfacl(1)). */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { named } from '../gateway/people.ts'
import { mountGateway, startLab } from './mounted.ts'
import { closedWay } from './places.ts'

const tools = existsSync('/usr/bin/nfs4_setfacl') ? false : 'needs nfs4_setfacl (Debian package nfs4-acl-tools)'

t.test(
  'nfs4_setfacl changes what nfs4_getfacl shows, and what others may do',
  { skip: closedWay('root') || tools },
  async (t) => {
    const gateway = await startLab(t)
    const [mine, hers] = await Promise.all([
      mountGateway(t, gateway, { user: 'alice' }),
      mountGateway(t, gateway, { user: 'bob' }),
    ])
    const file = join(mine.mountpoint, 'lab/alice/listed')
    const theirs = join(hers.mountpoint, 'lab/alice/listed')
    const run = (program: string, ...args: readonly string[]) => mine.place.run(program, args)
    const mayRead = () =>
      hers.place.run('/bin/cat', [theirs]).then(
        () => true,
        () => false,
      )
    const reading = `A::${named('bob')}:rtncy`
    await run('/bin/sh', '-c', 'echo secret > "$0"', file)
    t.notOk(await mayRead())
    const before = await run('nfs4_getfacl', file)
    await run('nfs4_setfacl', '-a', reading, file)
    await run('nfs4_setfacl', '-a', `A::${named('bob')}:xtncy`, join(mine.mountpoint, 'lab/alice'))
    t.ok((await run('nfs4_getfacl', file)).includes(`${reading}\n`))
    t.ok(await mayRead(), 'another mount does not go on refusing')
    await run('nfs4_setfacl', '-x', reading, file)
    t.equal(await run('nfs4_getfacl', file), before)
    t.notOk(await mayRead(), 'nor on allowing')
  },
)
