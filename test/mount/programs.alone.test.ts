/** Everyday programs in a mounted directory do what they do in a local one. */

import t from 'tap'
import { mountGateway, proveAll, proveHere, startLab, temporaryDirectory } from './mounted.ts'
import { closedWay } from './places.ts'

t.setTimeout(880_000)

/** Each with the share of the whole that is asked of a mount here. */
const asked: Readonly<Record<string, number>> = {
  'git clone and build': 1,
  coreutils: 1,
  'a compiler and a linker': 1,
  'tar out and in': 1,
  'rsync -a': 1,
  'SQLite with a rollback journal': 1,
  'SQLite with a write-ahead log': 1,
  'random reads by Python': 1,
  'fio with verification': 1,
  'many processes': 1,
}

t.test('on a local directory, so that it is right what is asked for', async (t) => {
  const directory = temporaryDirectory(t)
  const { 'git clone and build': _, ...here } = asked
  await proveAll(t, here, (name) => proveHere(name, directory, 0.1))
})

t.test('mounted by root', { skip: closedWay('root') }, async (t) => {
  const gateway = await startLab(t)
  const mount = await mountGateway(t, gateway)
  await proveAll(t, asked, (name, scale) => mount.prove(name, 'lab/alice', scale))
  t.equal(await mount.end(), 0, 'it unmounts and ends at SIGTERM')
})
