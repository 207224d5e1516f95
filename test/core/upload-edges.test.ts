/** Uploads where something is lost, or somebody else is about. */

import { createHash } from 'node:crypto'
import { readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { claim } from '../../backends/posix/leaving.ts'
import { Spool } from '../../gateway/core/spool.ts'
import { OffsetError } from '../../gateway/core/uploads.ts'
import { eventually } from '../gateway/processes.ts'
import { makeUploadWorld } from './upload-world.ts'
import { callBy, grants, person } from './world.ts'

t.test('a file of the spool is open to one at a time', async (t) => {
  const { spool: directory } = await makeUploadWorld(t)
  const [one, two] = [new Spool(directory, claim), new Spool(directory, claim)]
  const name = one.name()
  const made = await one.make(name)
  await t.rejects(two.open(name), { code: 'busy' })
  await made.close()
  const again = await two.open(name)
  await t.rejects(one.open(name), { code: 'busy' })
  await again.close()
  await (await one.open(name)).discard()
  await t.rejects(two.open(name), { code: 'not-found' })
})

t.test('bytes that were lost after they had counted come again', async (t) => {
  const { process, spool } = await makeUploadWorld(t)
  const one = await process()
  const { id } = await one.create('alice', '/spooled/f', { size: 6, digests: ['md5'] })
  await one.append('alice', id, 0, 'abcdef')
  truncateSync(join(spool, readdirSync(spool)[0] ?? ''), 3)
  const error = await one.finish('alice', id).catch((thrown: unknown) => thrown)
  t.ok(error instanceof OffsetError && error.state.offset === 3)
  t.match(await one.storage.uploads.state(callBy('alice'), id), { offset: 3, complete: false })
  await one.append('alice', id, 3, 'DEF')
  const { digests } = await one.finish('alice', id)
  t.equal(Buffer.from(digests.md5 ?? []).toString('hex'), createHash('md5').update('abcDEF').digest('hex'))
  t.equal(await one.get('/spooled/f'), 'abcDEF')
})

t.test('who asks for the offset is told, whoever comes meanwhile', async (t) => {
  const { process } = await makeUploadWorld(t)
  const [one, two] = [await process(), await process()]
  const { id } = await one.create('alice', '/data/f')
  const { uploads, leases } = two.state
  const calls = async () => (await uploads.get(id))?.called ?? 0
  const asked = await leases.withLease(`upload:${id}`, 0, async () => {
    const before = await calls()
    const answer = one.storage.uploads.state(callBy('alice'), id, { settled: true })
    answer.catch(() => undefined)
    await eventually(async () => (await calls()) > before, 10_000, 'it does not wait')
    await uploads.call(id)
    return { answer }
  })
  t.match(await asked.answer, { id, offset: 0 })
})

t.test('who came by a link sees nothing of what others do by links', async (t) => {
  const one = await (await makeUploadWorld(t)).process()
  const { uploads } = one.storage
  const guest = (link: string) =>
    person('alice', { id: `alice#share:${link}`, counted: 'alice#shares', guest: true, grants: grants('create:/data') })
  const { id } = await one.create(guest('one'), '/data/f')
  await one.append(guest('one'), id, 0, 'abc')
  t.same(await uploads.list(callBy(guest('one'))), [], 'another guest may have the same link')
  await t.rejects(uploads.state(callBy(guest('two')), id), { code: 'not-found' })
  await t.rejects(one.append(guest('two'), id, 3, 'x'), { code: 'not-found' })
  await t.rejects(one.finish(guest('two'), id), { code: 'not-found' })
  await t.rejects(uploads.remove(callBy(guest('two')), id), { code: 'not-found' })
  t.match(await one.finish(guest('one'), id), { created: true })
})

t.test('what expires is taken away by the gateway, and the audit log says so', async (t) => {
  const { process, clock } = await makeUploadWorld(t)
  const one = await process()
  await one.create('alice', '/data/f')
  const done = await one.create('alice', '/data/done')
  await one.finish('alice', done.id)
  clock.ahead += 3_600_001
  const before = one.audit.records.length
  t.equal(await one.storage.sweepUploads(), 1)
  t.match(one.audit.records.slice(before), [
    { action: 'upload-cancel', path: '/data/f', outcome: 'ok', principal: 'gateway', door: 'internal' },
  ])
})

t.test('of very many finished uploads the last are known', async (t) => {
  const one = await (await makeUploadWorld(t)).process()
  const { uploads } = one.state
  const bounds = { uploads: 2000, bytes: 1e6, spool: 1e6 }
  const { path } = await one.create('alice', '/data/f')
  const row = { principal: 'alice', user: undefined, path, backend: 'b', inner: path, spooled: false, terms: '{}' }
  const rest = { length: 0, reserved: 0, expires: Date.now() + 1e6 }
  for (let index = 0; index <= 1000; index++) {
    await uploads.add({ id: `u${index}`, place: `p${index}`, ...row, ...rest }, bounds)
    await uploads.complete(`u${index}`, '{}', Date.now() + 1e6 + index)
  }
  t.equal(await uploads.get('u0'), undefined)
  t.match(await uploads.get('u1'), { id: 'u1' })
  t.match(await uploads.get('u1000'), { id: 'u1000' })
  t.equal((await one.storage.uploads.list(callBy('alice'))).length, 1, 'what is unfinished stays')
})
