/** Rights are never wider than the ACL that belongs to the bytes: over crashes, races and stores that answer oddly. */

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { encodeSidecar } from '../../backends/s3/sidecar.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { act, fails } from '../backends/conformance/area.ts'
import { type Fake, refuse } from './fake.ts'
import { file, setUp, sometimes } from './fake-world.ts'
import { openAcl } from './world.ts'

const sidecar = '.portolan/acl/:file'
const directory = parsePath('/directory')

/** Nobody but its owner, and everyone. */
const closed: Acl = { ...openAcl, aces: [{ type: 'allow', flags: 0, mask: 0x1f01ff, who: 'OWNER@' }] }
const open: Acl = { ...openAcl, aces: [{ type: 'allow', flags: 0x3, mask: 0x1200a9, who: 'EVERYONE@' }] }
const sidecarOf = (acl: Acl, stamp = String(Math.random())) => encodeSidecar({ acl }, stamp)
const whose = (acl: Acl | undefined) => acl?.aces.map(({ who }) => who)

/** Answers to GET with bytes that may not be what lies there any more. */
function give(store: Fake, key: string): (response: Parameters<Fake['fault']>[1]) => void {
  const { bytes, etag, time } = store.objects.get(key) ?? store.put(key, '')
  const about = { ETag: etag, 'Last-Modified': time.toUTCString(), 'Content-Length': bytes.length }
  return (response) => void response.writeHead(200, about).end(bytes)
}

t.test('the sweep of an upload leaves the ACL of a directory that has the name by now', async (t) => {
  const { fake, area, backend, services } = await setUp(t, { rootAcl: open })
  await services.journal.add(`s3:${fake.endpoint.host}/bucket/`, JSON.stringify(['/directory', 'one']))
  await area.mkdir(directory)
  await act(backend.acls.set(directory, closed, {}, area.call))
  await services.journal.add(`s3:${fake.endpoint.host}/bucket/`, JSON.stringify(['/made', 'one']))
  fake.put('made/by/others', 'x')
  await act(backend.acls.set(parsePath('/made'), closed, {}, area.call))
  t.equal(await backend.sweep(0), 2)
  t.same(whose((await area.known(directory)).acl), ['OWNER@'])
  t.same(whose((await area.known(parsePath('/made'))).acl), ['OWNER@'])
})

t.test('a 404 that is not the store’s own is no missing sidecar', async (t) => {
  const { fake, backend, area } = await setUp(t, { rootAcl: open })
  fake.put('file', 'bytes')
  fake.put(sidecar, sidecarOf(closed))
  fake.fault = ({ key }, response) => {
    if (key !== sidecar) return false
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('default backend - 404')
    return true
  }
  await fails(t, backend.walk(file, area.call), 'unavailable')
})

t.test('a commit that somebody on the way answered with 503 keeps its ACL', async (t) => {
  const { fake, area } = await setUp(t, { rootAcl: { ...open, aces: [...open.aces, ...openAcl.aces] } })
  const isCommit = ({ method, key }: { method: string; key: string }) => method === 'PUT' && key === 'file'
  fake.fault = sometimes(1, isCommit, ({ key, body }, response, store) => {
    store.put(key, body)
    response.writeHead(503).end('upstream connect error or disconnect/reset before headers')
    return true
  })
  await fails(t, area.write(file, 'bytes'), ['unavailable', 'busy'])
  t.ok(fake.objects.has('file'))
  t.ok(fake.objects.has(sidecar), 'it has the ACL it was made with')
})

for (const inlineUpTo of [0, 1000]) {
  t.test(`bytes are not opened by the ACL of what was there before (inline up to ${inlineUpTo})`, async (t) => {
    const { fake, backend, area } = await setUp(t)
    fake.put('file', 'for all')
    fake.put(sidecar, sidecarOf(open))
    const swapped = Promise.withResolvers<void>()
    const swap = () => {
      fake.fault = () => false
      fake.put(sidecar, sidecarOf(closed))
      fake.put('file', 'secret')
      swapped.resolve()
    }
    fake.fault = ({ key, method }, response, store) => {
      if (key === sidecar) {
        give(store, sidecar)(response)
        swap()
        return true
      }
      if (key !== 'file') return false
      // Answered when the other file is there.
      void swapped.promise.then(() => {
        const { bytes, etag, time } = store.objects.get('file') ?? store.put('file', '')
        const about = { ETag: etag, 'Last-Modified': time.toUTCString(), 'Content-Length': bytes.length }
        response.writeHead(200, about).end(method === 'HEAD' ? undefined : bytes)
      })
      return true
    }
    const pending = await backend.open(file, { inlineUpTo }, area.call)
    t.same(whose(pending.trail.entry?.acl), ['EVERYONE@'], 'the look was torn')
    await fails(t, pending.proceed(), 'stale')
  })

  t.test(
    `what was there before is not opened by the ACL of what is there now (inline up to ${inlineUpTo})`,
    async (t) => {
      const { fake, backend, area } = await setUp(t)
      fake.put('file', 'secret')
      fake.put(sidecar, sidecarOf(closed))
      const swapped = Promise.withResolvers<void>()
      fake.fault = ({ key, method }, response, store) => {
        if (key === sidecar) {
          void swapped.promise.then(() => give(store, sidecar)(response))
          return true
        }
        if (key !== 'file') return false
        const { bytes, etag, time } = store.objects.get('file') ?? store.put('file', '')
        const about = { ETag: etag, 'Last-Modified': time.toUTCString(), 'Content-Length': bytes.length }
        response.writeHead(200, about).end(method === 'HEAD' ? undefined : bytes)
        fake.fault = (asked, answer, of) => {
          if (asked.key !== sidecar || of.objects.get('file')?.bytes.toString() === 'for all') return false
          void swapped.promise.then(() => give(of, sidecar)(answer))
          return true
        }
        void sleep(50).then(() => {
          fake.put('file', 'for all')
          fake.put(sidecar, sidecarOf(open))
          swapped.resolve()
        })
        return true
      }
      const pending = await backend.open(file, { inlineUpTo }, area.call)
      t.same(whose(pending.trail.entry?.acl), ['EVERYONE@'], 'the look was torn')
      if (inlineUpTo > 0) await fails(t, pending.proceed(), 'stale')
      else {
        const stream = (await pending.proceed()).stream({ start: 0, end: 6 })
        await fails(t, stream.toArray(), 'stale')
      }
    },
  )
}

t.test('a copy is not made by the ACL of what was there before', async (t) => {
  const { fake, backend, area } = await setUp(t)
  fake.put('file', 'for all')
  fake.put(sidecar, sidecarOf(open))
  const pending = await backend.copying.copy(
    file,
    parsePath('/copy'),
    { condition: 'any', decide: () => {} },
    area.call,
  )
  // Between the two halves of a look it could have been as well: equal bytes have equal versions.
  fake.put(sidecar, sidecarOf(closed))
  await fails(t, pending.proceed(), 'stale')
})

t.test('what comes while a listing is on its way is listed with its own ACL', async (t) => {
  const { fake, backend, area } = await setUp(t, { rootAcl: open })
  for (let at = 1000; at < 2200; at++) fake.put(`file-${at}`, 'x')
  fake.put('.portolan/acl/:file-1000', sidecarOf(closed))
  const listing = await act(backend.list(root, { acls: true }, area.call))
  const late: Array<Acl | undefined> = []
  let pages = 0
  for await (const page of listing.pages()) {
    if (pages++ === 0) {
      fake.put('.portolan/acl/:file-2150x', sidecarOf(closed))
      fake.put('file-2150x', 'secret')
    }
    late.push(...page.filter(({ name }) => name === 'file-2150x').map(({ acl }) => acl))
  }
  t.same(late.map(whose), [['OWNER@']])
})

t.test('a listing that begins with an empty page is no empty directory', async (t) => {
  const { fake, backend, area } = await setUp(t, { rootAcl: openAcl })
  await area.mkdir(directory)
  fake.put('directory/file', 'x')
  await act(backend.acls.set(directory, closed, {}, area.call))
  fake.fault = ({ query }, response) => {
    if (!query.has('list-type') || query.has('continuation-token') || query.get('delimiter') === '/') return false
    response.end(
      '<ListBucketResult><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType><NextContinuationToken>a</NextContinuationToken></ListBucketResult>',
    )
    return true
  }
  t.equal((await area.known(directory)).type, 'directory')
  await fails(t, area.remove(directory), 'not-empty')
  t.ok(fake.objects.has('.portolan/acl/:directory'))
})

t.test('a directory that is removed while a file is being put into it ends with both or none', async (t) => {
  for (const moment of ['PUT directory/file', 'DELETE directory/', 'DELETE .portolan/acl/:directory']) {
    const { fake, area, backend } = await setUp(t, { rootAcl: open })
    await area.mkdir(directory)
    await act(backend.acls.set(directory, openAcl, {}, area.call))
    const inside = parsePath('/directory/file')
    const draft = await area.draft(inside, 'x')
    let other: Promise<unknown> | undefined
    const isMoment = moment.startsWith('PUT')
    fake.fault = ({ method, key }, response, store) => {
      if (other || `${method} ${key}` !== moment) return false
      other = isMoment ? area.remove(directory) : area.commit(draft)
      if (isMoment) {
        void other.catch(() => {}).then(() => response.writeHead(200, { ETag: store.put(key, 'x').etag }).end())
      } else {
        store.objects.delete(key)
        void other.catch(() => {}).then(() => response.writeHead(204).end())
      }
      return true
    }
    const mine = isMoment ? area.commit(draft) : area.remove(directory)
    const outcomes = await Promise.allSettled([mine, other])
    await draft.discard()
    fake.fault = () => false
    const [there, kept] = [fake.objects.has('directory/file'), fake.objects.has('.portolan/acl/:directory')]
    t.equal(there, kept, `${moment}: ${outcomes.map(({ status }) => status)}`)
    if (there) t.same(whose((await area.known(directory)).acl), ['OWNER@'])
  }
})

t.test(
  'a file that comes when its directory has just been found empty ends in no directory without an ACL',
  async (t) => {
    const { fake, area, backend } = await setUp(t, { rootAcl: open })
    await area.mkdir(directory)
    await act(backend.acls.set(directory, openAcl, {}, area.call))
    const draft = await area.draft(parsePath('/directory/file'), 'x')
    let land: (() => void) | undefined
    const reached = Promise.withResolvers<void>()
    const landed = Promise.withResolvers<void>()
    fake.fault = ({ method, key }, response, store) => {
      if (method === 'PUT' && key === 'directory/file') {
        land = () => void response.writeHead(200, { ETag: store.put(key, 'x').etag }).end()
        reached.resolve()
        return true
      }
      if (method !== 'DELETE' || key !== '.portolan/acl/:directory') return false
      store.objects.delete(key)
      land?.()
      void landed.promise.then(() => response.writeHead(204).end())
      return true
    }
    const commit = area.commit(draft)
    await reached.promise
    const removal = area.remove(directory)
    // Its end is waited for: it must not find what it relies on put back in time.
    await fails(t, commit, 'stale')
    landed.resolve()
    await Promise.allSettled([removal])
    await draft.discard()
    fake.fault = () => false
    const entry = await area.entry(directory)
    if (entry) t.same(whose(entry.acl), ['OWNER@'])
    t.notOk(fake.objects.has('directory/file'))
  },
)

t.test('what was removed halfway leaves no ACL to those who come after', async (t) => {
  const { fake, area, backend, services } = await setUp(t)
  for (const path of [file, directory]) {
    if (path === file) await area.write(path, 'x')
    else await area.mkdir(path)
    await act(backend.acls.set(path, open, {}, area.call))
    const name = path.slice(1)
    // The process ends between the two.
    fake.fault = ({ method, key }, response) => {
      if (method !== 'DELETE' || key !== `.portolan/acl/:${name}`) return false
      response.destroy()
      return true
    }
    await fails(t, area.remove(path), 'unavailable')
    fake.fault = () => false
    t.ok(fake.objects.has(`.portolan/acl/:${name}`))
    await backend.sweep(0)
    t.notOk(fake.objects.has(`.portolan/acl/:${name}`), name)
    t.equal(services.places.size, 0)
  }
})

t.test('a rename that a crash stopped ends with the old file or the new one', async (t) => {
  for (const copied of [false, true]) {
    const { fake, area, backend, services } = await setUp(t)
    const to = parsePath('/to')
    await area.write(file, 'new')
    await area.write(to, 'old')
    await act(backend.acls.set(file, open, {}, area.call))
    await act(backend.acls.set(to, { ...closed, owner: 'bob@desy.de' }, {}, area.call))
    let isDown = false
    fake.fault = ({ headers, method, key }, response, store) => {
      const isCopy = headers['x-amz-copy-source'] !== undefined
      if (isCopy && copied) store.put('to', 'new')
      if (isCopy) isDown = true
      if (!isDown) return false
      void [method, key]
      response.destroy()
      return true
    }
    await fails(t, area.rename(file, to), 'unavailable')
    fake.fault = () => false
    t.same((await area.known(to)).acl?.aces, [], 'closed to all')
    await backend.sweep(0)
    t.same(whose((await area.known(to)).acl), copied ? ['EVERYONE@'] : ['OWNER@'])
    t.equal(await area.text(to), copied ? 'new' : 'old')
    t.equal(await area.text(file), 'new')
    t.equal(services.places.size, 0)
  }
})

t.test('a directory that another gateway makes at the same time keeps its ACL', async (t) => {
  const { fake, area, backend } = await setUp(t)
  await backend.walk(root, area.call)
  const theirs = sidecarOf(closed)
  fake.fault = ({ method, key }, response, store) => {
    if (method !== 'PUT' || key !== 'directory/') return false
    store.put('.portolan/acl/:directory', theirs)
    store.put('directory/', '')
    refuse(response, 412, 'PreconditionFailed')
    return true
  }
  await fails(t, area.mkdir(directory), 'exists')
  t.ok(fake.objects.get('.portolan/acl/:directory')?.bytes.equals(theirs))
})

t.test('a source that was replaced while it was moved is not lost', async (t) => {
  const { fake, area } = await setUp(t)
  await area.write(file, 'old')
  fake.fault = ({ method, key }, _response, store) => {
    // After the copy was looked at, and before the source goes.
    if (method === 'PUT' && key === '.portolan/acl/:to' && store.objects.has('to')) store.put('file', 'newer')
    return false
  }
  await area.rename(file, parsePath('/to')).catch(() => {})
  t.equal(fake.objects.get('file')?.bytes.toString(), 'newer')
})

t.test('what never came leaves no ACL to those who come after', async (t) => {
  const { fake, area, backend, services } = await setUp(t)
  for (const [path, key] of [
    [file, 'file'],
    [directory, 'directory/'],
  ] as const) {
    // The process ends between the two.
    fake.fault = ({ method, key: asked }, response) => {
      if (method !== 'PUT' || asked !== key) return false
      response.destroy()
      return true
    }
    await fails(t, path === file ? area.write(path, 'x') : area.mkdir(path), 'unavailable')
    fake.fault = () => false
    t.ok(fake.objects.has(`.portolan/acl/:${path.slice(1)}`))
    await backend.sweep(0)
    t.notOk(fake.objects.has(`.portolan/acl/:${path.slice(1)}`), key)
    t.equal(services.places.size, 0)
  }
  await area.write(file, 'x')
  await area.mkdir(directory)
  t.equal(services.places.size, 0)
})

t.test('a HEAD that somebody on the way answers with 404 costs no file and no ACL', async (t) => {
  const { fake, area, backend, services } = await setUp(t)
  await area.write(file, 'kept')
  const acl = fake.objects.get(sidecar)?.bytes
  const draft = await area.draft(file, 'new')
  const strip: Fake['fault'] = ({ method, headers, key }, response) => {
    delete headers['if-none-match']
    delete headers['if-match']
    if (method !== 'HEAD' || key !== 'file') return false
    response.writeHead(404).end()
    return true
  }
  fake.fault = strip
  await area.write(parsePath('/source'), 'other')
  await fails(t, area.commit(draft, { condition: 'absent' }), 'exists', 'a commit')
  await draft.discard()
  await area.rename(parsePath('/source'), file, 'absent').catch(() => {})
  t.equal(fake.objects.get('file')?.bytes.toString(), 'kept')
  await services.journal.add(`s3:${fake.endpoint.host}/bucket/`, JSON.stringify(['/file']))
  await backend.sweep(0)
  t.ok(acl && fake.objects.get(sidecar)?.bytes.equals(acl), 'the ACL is the one it had')
})

t.test('who may not read learns nothing of an archive', async (t) => {
  const { fake, area, backend } = await setUp(t)
  fake.put('file', 'bytes')
  fake.fault = ({ method, key }, response) => {
    if (method !== 'GET' || key !== 'file') return false
    refuse(response, 403, 'InvalidObjectState')
    return true
  }
  const pending = await backend.open(file, { inlineUpTo: 1000 }, area.call)
  t.equal(pending.trail.entry?.size, 5)
  await fails(t, pending.proceed(), 'nearline')
})

t.test('a file that a rename has closed is opened by nobody’s ACL when it is written anew', async (t) => {
  const { fake, area, backend, services } = await setUp(t)
  await area.write(file, 'old')
  const nobody = { ...closed, aces: [] }
  const { version } = await area.known(file)
  fake.put(sidecar, encodeSidecar({ acl: nobody, moving: { version, after: { acl: open } } }, ''))
  await services.journal.add(`s3:${fake.endpoint.host}/bucket/`, JSON.stringify(['/file']))
  await area.write(file, 'new')
  await backend.sweep(0)
  t.same(whose((await area.known(file)).acl), [])
})

t.test('a rename over one that was stopped ends that first', async (t) => {
  const { fake, area } = await setUp(t)
  await area.write(file, 'old')
  await area.write(parsePath('/source'), 'other')
  const { version } = await area.known(file)
  const nobody = { ...closed, aces: [] }
  fake.put(sidecar, encodeSidecar({ acl: nobody, moving: { version, before: { acl: open }, after: {} } }, ''))
  await fails(t, area.rename(parsePath('/source'), file), 'stale')
  t.same(whose((await area.known(file)).acl), ['EVERYONE@'])
  await area.rename(parsePath('/source'), file)
  t.equal(await area.text(file), 'other')
})

t.test('a sidecar that cannot be read gives no more rights when what was begun is taken back', async (t) => {
  const { fake, area, backend } = await setUp(t, { rootAcl: openAcl })
  await area.write(file, 'new')
  fake.put('to', 'old')
  fake.put('.portolan/acl/:to', 'garbage')
  fake.fault = ({ headers }, response) => {
    if (headers['x-amz-copy-source'] === undefined) return false
    refuse(response, 403, 'AccessDenied')
    return true
  }
  await fails(t, area.rename(file, parsePath('/to')), 'denied')
  t.same(whose((await area.known(parsePath('/to'))).acl) ?? [], [])
  fake.fault = () => false
  await area.mkdir(directory)
  fake.put('.portolan/acl/:directory', 'garbage')
  fake.fault = ({ method, key }, _response, store) => {
    // Another one has just put it there.
    if (method === 'DELETE' && key === '.portolan/acl/:directory') store.put('directory/file', 'x')
    return false
  }
  await fails(t, act(backend.remove(directory, area.call)), 'not-empty')
  t.same(whose((await area.known(directory)).acl) ?? [], [])
})

t.test('a file that a stopped rename has closed is opened again before it is moved on', async (t) => {
  const { fake, area } = await setUp(t)
  await area.write(file, 'old')
  const { version } = await area.known(file)
  const nobody = { ...closed, aces: [] }
  fake.put(sidecar, encodeSidecar({ acl: nobody, moving: { version, before: { acl: open }, after: {} } }, ''))
  await fails(t, area.rename(file, parsePath('/to')), 'stale')
  await area.rename(file, parsePath('/to'))
  t.same(whose((await area.known(parsePath('/to'))).acl), ['EVERYONE@'])
})

t.test('a rename that another gateway crosses looks again', async (t) => {
  const { fake, area } = await setUp(t)
  await area.write(file, 'x')
  fake.fault = sometimes(
    2,
    ({ method, key }) => method === 'PUT' && key === '.portolan/acl/:to',
    (_asked, response) => {
      refuse(response, 412, 'PreconditionFailed')
      return true
    },
  )
  await fails(t, area.rename(file, parsePath('/to')), 'stale')
})

t.test('two changes of one ACL in the same second are two states', async (t) => {
  const { fake, area, backend } = await setUp(t)
  const now = new Date()
  fake.clock = () => now
  await area.write(file, 'x')
  await area.mkdir(directory)
  for (const path of [file, directory]) {
    const { changed: seen } = await area.known(path)
    const revoked = await act(backend.acls.set(path, closed, { ifChanged: seen }, area.call))
    await fails(t, act(backend.acls.set(path, open, { ifChanged: seen }, area.call)), 'precondition', path)
    t.same(whose((await area.known(path)).acl), ['OWNER@'])
    t.same(await area.known(path), revoked)
    for (const acls of [true, false]) {
      const listed = (await area.list(root, { acls })).find(({ name }) => name === path.slice(1))
      t.equal(listed?.changed, revoked.changed, 'a listing says the same')
      t.equal(listed?.modified, revoked.modified)
    }
  }
})
