/** Names that are made by way of symbolic links, where a mount follows them. */

import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { callBy, grants, mountOf, outcome, person } from '../core/world.ts'
import { act, alice, callOf, codeOf, makeTree, openAcl, storeAclAt, type Tree, write } from './backend-world.ts'

const at = parsePath

/** /own is alice's, and so is /shared; /own/way leads to /shared. */
async function setUp(t: Test): Promise<Tree & { readonly storage: Storage }> {
  const tree = await makeTree({ grade: 'gateway', symlinks: 'within', reserved: ['.snapshots'] })
  t.teardown(() => tree.end())
  for (const name of ['own', 'shared']) {
    mkdirSync(tree.real(name))
    storeAclAt(tree.real(name), openAcl)
  }
  symlinkSync('../shared', tree.real('own/way'))
  writeFileSync(tree.real('shared/f'), 'shared')
  storeAclAt(tree.real('shared/f'), openAcl)
  const namespace = new Namespace([mountOf('/data', tree.backend)])
  return { ...tree, storage: new Storage({ namespace, audit: new MemoryAudit(), spillDirectory: '/nowhere' }) }
}

const by = (...scopes: string[]) => callBy(person('alice', { ...alice, grants: grants(...scopes) }))

t.test('a second name takes the scopes of where links lead', async (t) => {
  const { storage, real } = await setUp(t)
  const from = at('/data/own/way/f')
  const link = (to: string, ...scopes: string[]) => outcome(storage.link(by(...scopes), from, at(to)))
  t.equal(await link('/data/own/g', 'read:/data', 'modify:/data/own'), 'denied', 'it would be written to')
  t.same(readdirSync(real('own')), ['way'])
  t.equal(await link('/data/own/g', 'read:/data', 'modify:/data/own', 'modify:/data/shared'), 'ok')
  t.equal(statSync(real('shared/f')).nlink, 2)
  const upload = by('read:/data', 'modify:/data/own', 'upload:/data/shared')
  t.equal(await outcome(storage.link(upload, at('/data/own/g'), at('/data/own/way/h'))), 'denied', 'only uploads there')
  t.equal(await outcome(storage.symlink(upload, at('/data/own/way/l'), 'f')), 'denied')
  t.same(readdirSync(real('shared')), ['f'])
})

t.test('nothing is made under a reserved name, also where a link leads there', async (t) => {
  const { backend, real } = await setUp(t)
  const names = ['.snapshots', '.portolan-stage-0123456789abcdef01234567']
  for (const [index, name] of names.entries()) {
    symlinkSync(name, real(`own/to-${index}`))
    const path = at(`/own/to-${index}`)
    const { editing } = backend
    const made = editing.edit(path, { create: { exclusive: false, mode: 0o644 } }, callOf(alice))
    t.equal(await codeOf(act(made)), 'invalid', name)
    t.equal(await codeOf(write(backend, path, 'text')), 'invalid', name)
    t.throws(() => lstatSync(real('own', name)), { code: 'ENOENT' })
  }
  symlinkSync('free', real('own/to-free'))
  await write(backend, at('/own/to-free'), 'text')
  t.equal(readFileSync(real('own/free'), 'utf8'), 'text')
})

t.test('the mode of a directory closes it to callers and never to the gateway', async (t) => {
  const { backend, real } = await setUp(t)
  await act(backend.mkdir(at('/shared/closed'), callOf(alice), { mode: 0o500 }))
  t.equal(statSync(real('shared/closed')).mode & 0o700, 0o700, 'chmod opens it again')
})
