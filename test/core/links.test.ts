/** A back end that follows links: where they lead decides as well. */

import t from 'tap'
import { right } from '../../acl/acl.ts'
import { anonymous } from '../../acl/principal.ts'
import type { Backend, Entry, Trail } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { type Mount, Namespace } from '../../mounts/namespace.ts'
import { aclOf, allow, callBy, everything, grants, mountOf, outcome, person, user, World } from './world.ts'

/** Shows `target` at `link` too, as the POSIX back end shows a directory that a link leads to. */
function linked(inner: Backend, link: string, target: string, via: readonly Entry[] = []): Backend {
  const isLinked = (path: Path) => path === link || path.startsWith(`${link}/`)
  const led = (path: Path) => (isLinked(path) ? parsePath(`${target}${path.slice(link.length)}`) : path)
  const seen = (path: Path, trail: Trail): Trail =>
    isLinked(path) ? { ...trail, ancestors: [...via, ...trail.ancestors], resolved: led(path) } : trail
  return new Proxy(inner, {
    get(backend, key) {
      if (key === 'walk')
        return async (path: Path, ...rest: [never]) => seen(path, await backend.walk(led(path), ...rest))
      const value: unknown = Reflect.get(backend, key, backend)
      if (typeof value !== 'function') return value
      if (key === 'enforces') return value.bind(backend)
      return async (path: Path, ...rest: unknown[]) => {
        const pending = await Reflect.apply(value, backend, [led(path), ...rest])
        return {
          trail: seen(path, pending.trail),
          proceed: () => pending.proceed(),
          release: () => pending.release(),
        }
      }
    },
  })
}

function storageOf(...mounts: readonly Mount[]): Storage {
  return new Storage({ namespace: new Namespace(mounts), audit: new MemoryAudit(), spillDirectory: '/nowhere' })
}

async function tree(): Promise<MemoryBackend> {
  const memory = new MemoryBackend(aclOf('keeper', allow('EVERYONE@', everything)))
  const storage = storageOf(mountOf('/a', memory))
  for (const path of ['/a/sub', '/a/sub/f', '/a/sub/g']) {
    if (path === '/a/sub') await storage.mkdir(callBy('keeper'), parsePath(path))
    else {
      const writing = await storage.write(callBy('keeper'), parsePath(path))
      writing.body.end('content')
      await writing.commit()
    }
  }
  return memory
}

async function namesIn(storage: Storage, principal: Parameters<typeof callBy>[0], path: string): Promise<string[]> {
  const names: string[] = []
  const { pages } = await storage.list(callBy(principal), parsePath(path))
  for await (const page of pages()) names.push(...page.map(({ name }) => name))
  return names
}

t.test('a link does not lead around the rules of a mount that covers its target', async (t) => {
  const backend = linked(await tree(), '/link', '/sub')
  const storage = storageOf(
    mountOf('/a', backend, { anonymous: true }),
    mountOf('/a/sub', backend, { base: parsePath('/sub'), readOnly: true }),
  )
  t.equal(await outcome(storage.stat(callBy(anonymous), parsePath('/a/sub/f'))), 'unauthenticated')
  t.equal(await outcome(storage.stat(callBy(anonymous), parsePath('/a/link/f'))), 'denied')
  t.equal(await outcome(storage.remove(callBy('bob'), parsePath('/a/sub/f'))), 'read-only')
  t.equal(await outcome(storage.remove(callBy('bob'), parsePath('/a/link/f'))), 'denied')
})

t.test('explain does not tell what is where a link leads out of the scope', async (t) => {
  const storage = storageOf(mountOf('/a', linked(await tree(), '/link', '/sub')))
  const bob = person('bob', { grants: grants('read:/a/link') })
  t.equal(await outcome(storage.stat(callBy(bob), parsePath('/a/link/f'))), 'denied')
  const there = await storage.explain(callBy(bob), 'read', parsePath('/a/link/f'))
  const missing = await storage.explain(callBy(bob), 'read', parsePath('/a/link/none'))
  t.equal(there.allowed, false)
  t.same(
    there.steps.map(({ check, allowed }) => [check, allowed]),
    missing.steps.map(({ check, allowed }) => [check, allowed]),
  )
})

t.test('a listing by way of a link shows no more names than one under its own path', async (t) => {
  const storage = storageOf(mountOf('/a', linked(await tree(), '/link', '/sub')))
  const bob = person('bob', { grants: grants('read:/a/link', 'read:/a/sub/f') })
  t.same(await namesIn(storage, bob, '/a/sub'), ['f'])
  t.same(await namesIn(storage, bob, '/a/link'), ['f'])
})

t.test('a closed directory that a link leads through counts also below the base of a mount', async (t) => {
  const closed: Entry = {
    name: 'closed',
    type: 'directory',
    size: 0,
    modified: 0n,
    changed: 0n,
    version: 'v',
    id: 'closed',
    acl: aclOf('keeper'),
  }
  const backend = linked(await tree(), '/sub/link', '/sub', [closed])
  const base = parsePath('/sub')
  t.equal(await outcome(storageOf(mountOf('/a', backend)).stat(callBy('bob'), parsePath('/a/sub/link/f'))), 'denied')
  t.equal(
    await outcome(storageOf(mountOf('/a', backend, { base })).stat(callBy('bob'), parsePath('/a/link/f'))),
    'denied',
  )
  const open = linked(await tree(), '/sub/link', '/sub')
  t.equal(await outcome(storageOf(mountOf('/a', open, { base })).stat(callBy('bob'), parsePath('/a/link/f'))), 'ok')
})

t.test('who may list a directory but not traverse it sees names and types alone', async (t) => {
  const world = new World()
  t.teardown(() => world.end())
  await world.directory('/data/d', 'keeper', allow(user('bob'), right.listDirectory, 0))
  await world.file('/data/d/f', 'content', 'keeper', allow('EVERYONE@', right.readAttributes, 0))
  t.equal(await outcome(world.storage.stat(callBy('bob'), parsePath('/data/d/f'))), 'denied')
  const { pages } = await world.storage.list(callBy('bob'), parsePath('/data/d'))
  for await (const page of pages()) {
    t.same(
      page.map(({ name, type, size, version, modified }) => [name, type, size, version, modified]),
      [['f', 'file', 0, '', 0n]],
    )
  }
})

t.test('a file is not moved onto itself through another back end that shows the same tree', async (t) => {
  const memory = await tree()
  const other = new Proxy(memory, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const storage = storageOf(mountOf('/a', memory), mountOf('/b', other))
  t.equal(await outcome(storage.rename(callBy('keeper'), parsePath('/a/sub/f'), parsePath('/b/sub/f'))), 'invalid')
  t.equal(await outcome(storage.stat(callBy('keeper'), parsePath('/a/sub/f'))), 'ok')
})

t.test('a tree is not copied into itself by way of another mount', async (t) => {
  const memory = await tree()
  const storage = storageOf(mountOf('/a', memory), mountOf('/b', memory))
  const copy = (to: string) =>
    outcome(storage.copy(callBy('bob'), parsePath('/a/sub'), parsePath(to), { recursive: true }))
  t.equal(await copy('/b/sub/copy'), 'invalid')
  t.equal(await copy('/b/sub'), 'invalid')
  t.equal(await copy('/b/other'), 'ok')
})
