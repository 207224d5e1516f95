import t, { type Test } from 'tap'
import { aceFlag, right } from '../../acl/acl.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { allow, callBy, everything, grants, look, mountOf, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath
const down = aceFlag.fileInherit | aceFlag.directoryInherit

/** /data/a is alice's, who may do everything; in /data/b all may add files; bob may read and write in /data/a/shared. */
async function setUp(t: Test): Promise<World> {
  const world = new World()
  t.teardown(() => world.end())
  await world.directory('/data/a', 'alice', allow(user('alice'), everything, down), allow(user('bob'), look, 0))
  const adding = look | right.addFile | right.addSubdirectory | right.listDirectory
  await world.directory('/data/b', 'alice', allow(user('alice'), everything, down), allow(user('bob'), adding, 0))
  await world.file('/data/a/own', 'own', 'alice', allow(user('alice'), everything))
  await world.file('/data/a/shared', 'shared', 'alice', allow(user('bob'), readAll | right.writeData))
  await world.file('/data/a/read', 'read', 'alice', allow(user('bob'), readAll))
  await world.file('/data/b/x', 'x', 'bob', allow(user('bob'), readAll))
  world.audit.records.length = 0
  return world
}

t.test('a symbolic link is stored as it is, by whoever may add files', async (t) => {
  const { storage, audit } = await setUp(t)
  const link = await storage.symlink(callBy('bob'), at('/data/b/l'), '../a/own')
  t.match(link, { name: 'l', type: 'symlink', target: '../a/own' })
  t.match(await storage.stat(callBy('alice'), at('/data/b/l')), { type: 'symlink', target: '../a/own' })
  const listed = await storage.list(callBy('alice'), at('/data/b'))
  const entries = []
  for await (const page of listed.pages()) entries.push(...page)
  t.match(
    entries.find(({ name }) => name === 'l'),
    { target: '../a/own' },
  )
  t.match(audit.records[0], { action: 'symlink', outcome: 'ok', path: '/data/b/l' })
  t.equal(await outcome(storage.symlink(callBy('bob'), at('/data/b/l'), 'x')), 'exists')
  t.equal(await outcome(storage.symlink(callBy('bob'), at('/data/a/l'), 'x')), 'denied')
  t.equal(await outcome(storage.symlink(callBy('alice'), at('/data/a/none/l'), 'x')), 'no-parent')
  t.equal(await outcome(storage.symlink(callBy('alice'), at('/data'), 'x')), 'denied', 'a mount point')
  for (const bad of ['', 'a\0b', '\ud800']) {
    t.equal(await outcome(storage.symlink(callBy('alice'), at('/data/a/l'), bad)), 'invalid')
  }
  t.equal(await outcome(storage.symlink(callBy('alice'), at('/data/a/l'), 'x'.repeat(4096))), 'name-too-long')
  t.equal(await outcome(storage.symlink(callBy('alice'), at('/data/a/l'), 'x'.repeat(4095))), 'ok')
})

t.test('whoever may only upload makes no links', async (t) => {
  const { storage } = await setUp(t)
  for (const [grant, expected] of [
    ['upload:/data', 'denied'],
    ['manage:/data', 'denied'],
    ['create:/data', 'ok'],
    ['modify:/data', 'ok'],
  ] as const) {
    const call = callBy(person('alice', { grants: grants(grant) }))
    t.equal(await outcome(storage.symlink(call, at(`/data/a/${grant.slice(0, 3)}`), 'x')), expected, grant)
  }
  const bounded = callBy(person('alice', { maxUpload: 10 }))
  t.equal(await outcome(storage.symlink(bounded, at('/data/a/l'), 'x')), 'denied')
})

t.test('a second name is for the owner, and for whoever may read and write the file anyway', async (t) => {
  const { storage, audit } = await setUp(t)
  const linked = await storage.link(callBy('alice'), at('/data/a/own'), at('/data/b/own'))
  t.match(linked, { name: 'own', type: 'file', links: 2 })
  t.equal(linked.id, (await storage.stat(callBy('alice'), at('/data/a/own'))).id)
  t.match(audit.records[0], { action: 'link', outcome: 'ok', path: '/data/a/own', to: '/data/b/own' })
  t.equal(await outcome(storage.link(callBy('bob'), at('/data/a/shared'), at('/data/b/shared'))), 'ok')
  t.equal(await outcome(storage.link(callBy('bob'), at('/data/a/read'), at('/data/b/read'))), 'denied')
  t.equal(await outcome(storage.link(callBy('bob'), at('/data/a/own'), at('/data/b/more'))), 'denied')
  t.equal(await outcome(storage.link(callBy('bob'), at('/data/b/x'), at('/data/a/x'))), 'denied', 'no right there')
  t.equal(await outcome(storage.link(callBy('alice'), at('/data/a/own'), at('/data/b/own'))), 'exists')
  t.equal(await outcome(storage.link(callBy('alice'), at('/data/a/none'), at('/data/b/none'))), 'not-found')
  t.equal(await outcome(storage.link(callBy('alice'), at('/data/a'), at('/data/b/a'))), 'is-directory')
  t.equal(await outcome(storage.link(callBy('alice'), at('/data/a/own'), at('/data/c/own'))), 'no-parent')
})

t.test('a file gets no second name where its credential would see more of it', async (t) => {
  const { storage } = await setUp(t)
  const by = (...scopes: string[]) => callBy(person('alice', { grants: grants(...scopes) }))
  const [from, to] = [at('/data/a/own'), at('/data/b/own')]
  t.equal(await outcome(storage.link(by('read:/data/a', 'modify:/data/b'), from, to)), 'denied')
  t.equal(await outcome(storage.link(by('modify:/data'), from, to)), 'denied')
  t.equal(await outcome(storage.link(by('read:/data/a', 'modify:/data/a'), from, to)), 'denied')
  t.equal(await outcome(storage.link(by('read:/data/a', 'modify:/data'), from, to)), 'ok')
})

t.test('two mounts of one storage may have rules of their own, so names do not go from one to the other', async (t) => {
  const world = await setUp(t)
  const [mount] = world.mounts
  if (!mount) throw new Error('no mount')
  await world.storage.useNamespace(new Namespace([mount, mountOf('/again', mount.backend, { readOnly: true })]))
  const { storage } = world
  t.equal(await outcome(storage.link(callBy('alice'), at('/again/a/own'), at('/data/b/own'))), 'read-only')
  await world.storage.useNamespace(new Namespace([mount, mountOf('/again', mount.backend)]))
  t.equal(await outcome(storage.link(callBy('alice'), at('/again/a/own'), at('/data/b/own'))), 'cross-mount')
  t.equal(await outcome(storage.exchange(callBy('alice'), at('/again/a/own'), at('/data/b/x'))), 'cross-mount')
})

t.test('two objects change places, where each may leave its own and come to the other', async (t) => {
  const world = await setUp(t)
  const { storage, audit } = world
  await storage.exchange(callBy('alice'), at('/data/a/own'), at('/data/b/x'))
  t.match(audit.records, [{ action: 'exchange', outcome: 'ok', path: '/data/a/own', to: '/data/b/x' }])
  t.equal(await world.state('/data/a/own'), 'x')
  t.equal(await world.state('/data/b/x'), 'own')
  await storage.mkdir(callBy('alice'), at('/data/b/sub'))
  await storage.exchange(callBy('alice'), at('/data/a/own'), at('/data/b/sub'))
  t.equal(await world.state('/data/b/sub'), 'x')
  t.equal(await world.state('/data/a/own'), 'directory')
  t.equal(await outcome(storage.exchange(callBy('alice'), at('/data/a'), at('/data/a/own'))), 'invalid')
  t.equal(await outcome(storage.exchange(callBy('alice'), at('/data/a/own'), at('/data/none'))), 'not-found')
  t.equal(await outcome(storage.exchange(callBy('bob'), at('/data/a/own'), at('/data/a/read'))), 'denied')
  t.equal(await outcome(storage.exchange(callBy('alice'), at('/data'), at('/other'))), 'denied')
  t.equal(await outcome(storage.exchange(callBy('alice'), at('/data/a/own'), at('/other'))), 'denied')
})

t.test('to exchange takes the scopes of both moves', async (t) => {
  const { storage } = await setUp(t)
  const by = (...scopes: string[]) => callBy(person('alice', { grants: grants(...scopes) }))
  const exchange = (...scopes: string[]) => outcome(storage.exchange(by(...scopes), at('/data/a/own'), at('/data/b/x')))
  t.equal(await exchange('modify:/data/a'), 'denied')
  t.equal(await exchange('modify:/data/a', 'read:/data/b'), 'denied')
  t.equal(await exchange('modify:/data/a', 'modify:/data/b'), 'ok')
  await storage.mkdir(callBy('alice'), at('/data/b/sub'))
  const directories = await outcome(storage.exchange(by('create:/data'), at('/data/a/own'), at('/data/b/sub')))
  t.equal(directories, 'denied', 'that scope moves no directories')
})
