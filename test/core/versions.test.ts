/** Earlier versions through Storage, ACLs that are fetched when asked for, and renames that a back end cannot do. */

import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import type { Backend } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { type ReadOptions, Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { versioned } from './versioned.ts'
import { aclOf, allow, callBy, everything, grants, mountOf, outcome, person, readAll, user } from './world.ts'

const at = parsePath
const file = at('/data/d/f')

interface Setting {
  readonly now: MemoryBackend
  readonly then: MemoryBackend
  readonly storage: Storage
  readonly audit: MemoryAudit
}

function storageOf(t: Test, backend: Backend, audit = new MemoryAudit()): Storage {
  const namespace = new Namespace([mountOf('/data', backend)])
  return new Storage({ namespace, audit, spillDirectory: t.testdir() })
}

/** /d/f was "first" and is "second"; alice may all, bob may read. */
async function setUp(t: Test): Promise<Setting> {
  const acl = aclOf('alice', allow(user('alice'), everything), allow(user('bob'), readAll))
  const [now, then] = [new MemoryBackend(acl), new MemoryBackend(acl)]
  for (const [memory, content] of [
    [now, 'second'],
    [then, 'first'],
  ] as const) {
    const storage = storageOf(t, memory)
    await storage.mkdir(callBy('alice'), at('/data/d'))
    const writing = await storage.write(callBy('alice'), file)
    writing.body.end(content)
    await writing.commit()
  }
  const audit = new MemoryAudit()
  return { now, then, audit, storage: storageOf(t, versioned(now, then), audit) }
}

async function get(storage: Storage, who: Parameters<typeof callBy>[0], options: ReadOptions): Promise<string> {
  const reading = await storage.read(callBy(who), file, options)
  if (reading.kind !== 'bytes') return reading.kind
  try {
    return reading.content
      ? Buffer.from(reading.content).toString()
      : await text(reading.stream({ start: 0, end: reading.entry.size }))
  } finally {
    await reading.close()
  }
}

const closed = aclOf('alice', allow(user('alice'), everything))

t.test('a version is read as the file is: conditions, ranges and HEAD are those of then', async (t) => {
  const { storage, audit } = await setUp(t)
  t.equal(await get(storage, 'bob', {}), 'second')
  t.equal(await get(storage, 'bob', { version: 'v1' }), 'first')
  const [version] = await storage.versions(callBy('bob'), file)
  t.match(version, { version: 'v1', kept: 1_000_000_000n, entry: { name: 'f', size: 5 } })
  const tag = version?.entry.version ?? ''
  t.equal(await get(storage, 'bob', { version: 'v1', conditions: { ifNoneMatch: [tag] } }), 'unmodified')
  t.equal(await outcome(get(storage, 'bob', { version: 'v1', conditions: { ifMatch: ['other'] } })), 'precondition')
  const head = await storage.read(callBy('bob'), file, { version: 'v1', headOnly: true })
  t.match(head, { kind: 'bytes', entry: { size: 5 } })
  if (head.kind === 'bytes') await head.close()
  t.equal(await outcome(get(storage, 'bob', { version: 'v2' })), 'not-found')
  t.ok(audit.records.some(({ action, outcome }) => action === 'versions' && outcome === 'ok'))
})

t.test('a version is for whoever may read today and might read then', async (t) => {
  const { storage, now, then } = await setUp(t)
  const read = (who: Parameters<typeof callBy>[0]) => outcome(get(storage, who, { version: 'v1' }))
  t.equal(await read('carol'), 'denied')
  now.replaceAcl(at('/d/f'), closed)
  t.equal(await read('bob'), 'denied', 'revoked since')
  t.equal(await outcome(storage.versions(callBy('bob'), file)), 'denied')
  now.replaceAcl(at('/d/f'), aclOf('alice', allow('EVERYONE@', everything)))
  t.equal(await read('bob'), 'ok')
  t.equal(await read('carol'), 'denied', 'given since')
  then.replaceAcl(at('/d'), closed)
  t.equal(await read('bob'), 'denied', 'the directory was closed then')
  t.same(await storage.versions(callBy('bob'), file), [])
  then.replaceAcl(at('/d'), undefined)
  t.equal(await read('alice'), 'denied', 'no ACL of then, no reading')
})

t.test('what is gone today is read by the rights of then, on the way that is left', async (t) => {
  const { storage, now } = await setUp(t)
  await storage.remove(callBy('alice'), file)
  t.equal(await get(storage, 'bob', { version: 'v1' }), 'first')
  t.equal(await outcome(get(storage, 'carol', { version: 'v1' })), 'denied')
  t.equal((await storage.versions(callBy('bob'), file)).length, 1)
  now.replaceAcl(at('/d'), closed)
  t.equal(await outcome(get(storage, 'bob', { version: 'v1' })), 'denied')
  t.equal(await outcome(storage.versions(callBy('bob'), file)), 'denied')
  await storage.remove(callBy('alice'), at('/data/d'))
  t.equal(await get(storage, 'bob', { version: 'v1' }), 'first')
})

t.test('a credential bound to other paths or acts reads no version', async (t) => {
  const { storage } = await setUp(t)
  const read = (...scopes: string[]) =>
    outcome(get(storage, person('alice', { grants: grants(...scopes) }), { version: 'v1' }))
  t.equal(await read('read:/data/d'), 'ok')
  t.equal(await read('read:/data/other'), 'denied')
  t.equal(await read('modify:/data/d'), 'denied')
})

t.test('directories have no versions to read, and mounts without them say so', async (t) => {
  const { storage, now } = await setUp(t)
  t.equal(await outcome(storage.read(callBy('alice'), at('/data/d'), { version: 'v1' })), 'is-directory')
  t.equal(await outcome(storage.read(callBy('alice'), at('/'), { version: 'v1' })), 'unsupported')
  const plain = storageOf(t, now)
  t.equal(await outcome(get(plain, 'alice', { version: 'v1' })), 'unsupported')
  t.equal(await outcome(plain.versions(callBy('alice'), file)), 'unsupported')
})

t.test('an ACL that the back end fetches with rights of its own is shown by what it says itself', async (t) => {
  const { now } = await setUp(t)
  const fetching = new Proxy<Backend>(now, {
    get(target, key) {
      if (key === 'enforces') return () => true
      if (key === 'acls') {
        return {
          set: target.acls?.set,
          get: async (path: Parameters<Backend['walk']>[0], call: Parameters<Backend['walk']>[1]) => {
            const trail = await target.walk(path, call)
            const proceed = async () => {
              if (trail.entry) return trail.entry
              throw new StorageError('not-found', 'no such file', { path })
            }
            return {
              trail: { ...trail, entry: trail.entry && { ...trail.entry, acl: undefined } },
              proceed,
              release: async () => {},
            }
          },
        }
      }
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const storage = storageOf(t, fetching)
  t.equal(await outcome(storage.getAcl(callBy('bob'), file)), 'ok')
  now.replaceAcl(at('/d/f'), aclOf('alice', allow(user('bob'), readAll & ~right.readAcl)))
  t.equal(await outcome(storage.getAcl(callBy('bob'), file)), 'denied')
  now.replaceAcl(at('/d/f'), undefined)
  t.equal(await outcome(storage.getAcl(callBy('bob'), file)), 'denied')
  t.equal(await outcome(storage.getAcl(callBy('bob'), at('/data/d/none'))), 'not-found')
})

/** Renames only within one directory of the top. */
function parted(memory: MemoryBackend): Backend {
  return new Proxy<Backend>(memory, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (key !== 'rename') return typeof value === 'function' ? value.bind(target) : value
      const rename: Backend['rename'] = async (from, to, options, call) => {
        const pending = await target.rename(from, to, options, call)
        if (from.split('/')[1] === to.split('/')[1]) return pending
        const proceed = () => Promise.reject(new StorageError('cross-mount', 'another fileset', { path: to }))
        return { ...pending, proceed }
      }
      return rename
    },
  })
}

t.test('what a back end cannot rename into another part of itself is copied, verified and removed', async (t) => {
  const { now } = await setUp(t)
  const storage = storageOf(t, parted(now))
  const call = callBy('alice')
  await storage.mkdir(call, at('/data/e'))
  const before = await storage.stat(call, file)
  const moved = await storage.rename(call, file, at('/data/e/g'))
  t.match(moved, { created: true, entry: { name: 'g', modified: before.modified } })
  t.equal(await outcome(storage.stat(call, file)), 'not-found')
  await storage.rename(call, at('/data/e/g'), at('/data/e/h'))
  await storage.rename(call, at('/data/e'), at('/data/z'))
  t.equal(await outcome(storage.stat(call, at('/data/z/h'))), 'ok')
  t.equal(await outcome(storage.stat(call, at('/data/e'))), 'not-found')
  t.equal(await outcome(storage.rename(callBy('bob'), at('/data/z/h'), at('/data/d/h'))), 'denied')
  t.equal(await outcome(storage.stat(call, at('/data/z/h'))), 'ok')
})
