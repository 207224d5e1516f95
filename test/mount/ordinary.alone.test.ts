/** The same for whoever is not root: by fusermount3, and in a user namespace with nothing but a token in a file. */

import t from 'tap'
import { mountGateway, proveAll, startLab } from './mounted.ts'
import { closedWay, type Way } from './places.ts'

t.setTimeout(880_000)
t.jobs = 2

const asked: Readonly<Record<string, number>> = {
  coreutils: 1,
  'a compiler and a linker': 1,
  'tar out and in': 1,
  'rsync -a': 1,
  'SQLite with a rollback journal': 1,
  'SQLite with a write-ahead log': 1,
  'random reads by Python': 0.25,
  'fio with verification': 0.1,
  'many processes': 0.1,
  'random operations beside a model': 0.01,
}

const ways: Readonly<Record<Exclude<Way, 'root'>, string>> = {
  fusermount: 'an ordinary user, by fusermount3',
  namespace: 'an ordinary user without any privilege, in a user namespace',
}

for (const way of ['fusermount', 'namespace'] as const) {
  t.test(ways[way], { skip: closedWay(way), buffered: true }, async (t) => {
    const gateway = await startLab(t)
    const mount = await mountGateway(t, gateway, { way })
    await proveAll(t, asked, (name, scale) => mount.prove(name, 'lab/alice', scale))
    await t.test('what is not hers is refused, and she reads why', async (t) => {
      const { place, mountpoint } = mount
      await t.rejects(place.run('ls', [`${mountpoint}/lab/bob`]), { message: /Permission denied/ })
      const why = await place.run('getfattr', ['--only-values', '-n', 'user.portolan.explain', `${mountpoint}/lab/bob`])
      t.match(why, /bob|ACL|READ|EXECUTE/, 'the explanation')
    })
    t.equal(await mount.end(), 0, 'it unmounts and ends at SIGTERM')
  })
}
