import t from 'tap'
import { anonymous } from '../../acl/principal.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { LockedError } from '../../gateway/core/locks.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { by, lockedWorld, type Process, tokensOf } from './locked-world.ts'
import { aclOf, allow, everything, grants, outcome, person, readAll, user } from './world.ts'

t.setTimeout(240_000)

const p = parsePath
const make = { create: { exclusive: false } } as const

/** Every way to change something, as tried on one object and one new name in its directory. */
const changes: Readonly<Record<string, (at: Process, top: string, tokens: readonly string[]) => Promise<unknown>>> = {
  replace: (at, top, tokens) => at.put('bob', `${top}/f`, 'new', tokens),
  create: (at, top, tokens) => at.put('bob', `${top}/new`, 'new', tokens),
  mkdir: (at, top, tokens) => at.storage.mkdir(by('bob', tokens), p(`${top}/made`)),
  remove: (at, top, tokens) => at.storage.remove(by('bob', tokens), p(`${top}/f`)),
  'remove the whole': (at, top, tokens) => at.storage.remove(by('bob', tokens), p(top), { recursive: true }),
  'rename away': (at, top, tokens) => at.storage.rename(by('bob', tokens), p(`${top}/f`), p('/data/e/f')),
  'rename the whole': (at, top, tokens) => at.storage.rename(by('bob', tokens), p(top), p('/data/e/whole')),
  'rename in': (at, top, tokens) => at.storage.rename(by('bob', tokens), p('/data/e/x'), p(`${top}/x`)),
  'rename over': (at, top, tokens) => at.storage.rename(by('bob', tokens), p('/data/e/x'), p(`${top}/f`)),
  'move to another mount': (at, top, tokens) => at.storage.rename(by('bob', tokens), p(`${top}/f`), p('/other/f')),
  'move from another mount': (at, top, tokens) => at.storage.rename(by('bob', tokens), p('/other/y'), p(`${top}/f`)),
  'copy over': (at, top, tokens) => at.storage.copy(by('bob', tokens), p('/data/e/x'), p(`${top}/f`)),
  'copy in': (at, top, tokens) => at.storage.copy(by('bob', tokens), p('/data/e/x'), p(`${top}/x2`)),
  'copy from another mount': (at, top, tokens) => at.storage.copy(by('bob', tokens), p('/other/y'), p(`${top}/f`)),
  'set times': (at, top, tokens) => at.storage.setAttributes(by('bob', tokens), p(`${top}/f`), { modified: 5n }),
  'set properties': (at, top, tokens) =>
    at.storage.setProperties(by('bob', tokens), p(`${top}/f`), new Map([['colour', 'red']])),
  'set the ACL': (at, top, tokens) =>
    at.storage.setAcl(by('bob', tokens), p(`${top}/f`), aclOf('alice', allow(user('bob'), everything))),
  edit: async (at, top, tokens) => (await at.storage.edit(by('bob', tokens), p(`${top}/f`))).close(),
  'make to edit': async (at, top, tokens) => (await at.storage.edit(by('bob', tokens), p(`${top}/new`), make)).close(),
  'symbolic link': (at, top, tokens) => at.storage.symlink(by('bob', tokens), p(`${top}/l`), 'f'),
  'second name': (at, top, tokens) => at.storage.link(by('bob', tokens), p(`${top}/f`), p(`${top}/g`)),
  exchange: (at, top, tokens) => at.storage.exchange(by('bob', tokens), p(`${top}/f`), p(`${top}/h`)),
  'set an extended attribute': (at, top, tokens) =>
    at.storage.setXattr(by('bob', tokens), p(`${top}/f`), 'colour', Uint8Array.of(1), 'any'),
}

const content = new Set(['replace', 'rename over', 'copy over', 'copy from another mount', 'move from another mount'])
const object = new Set(['set times', 'set properties', 'set the ACL', 'edit', 'set an extended attribute'])
const names = new Set(['create', 'mkdir', 'rename in', 'copy in', 'make to edit', 'symbolic link'])

t.test('no change to what is locked goes by without the token, in any process, by any path', async (t) => {
  for (const [lockAt, depth] of [
    ['/data/d', 'infinity'],
    ['/data/d', '0'],
    ['/data/d/f', '0'],
  ] as const) {
    for (const top of ['/data/d', '/again/d', '/part'])
      await t.test(`${top}, lock ${depth} at ${lockAt}`, async (t) => {
        const { one, two } = await lockedWorld(t)
        await one.put('alice', '/data/e/x', 'x')
        await one.put('alice', '/other/y', 'y')
        await one.put('alice', '/data/d/h', 'h')
        await one.lock('alice', lockAt, { depth })
        for (const [name, change] of Object.entries(changes)) {
          const isMount = top === '/part' && name.endsWith('the whole')
          // A lock of depth 0 on a directory is about its names; one on a file is not.
          const isOnNames = lockAt === '/data/d'
          const replaces = content.has(name) && !name.startsWith('rename') && !name.startsWith('move')
          const spared = depth === '0' && (isOnNames ? object.has(name) || replaces : names.has(name))
          if (spared) continue
          const code = await outcome(change(two, top, []))
          t.equal(code, isMount ? 'denied' : 'locked', `${name} at ${top}, lock ${depth} at ${lockAt}`)
        }
        t.equal((await two.storage.stat(by('bob'), p('/data/d/f'))).size, 3, 'nothing has changed')
      })
  }
})

t.test('the holder changes what is locked by the token, and by nobody else’s hand', async (t) => {
  for (const [name, change] of Object.entries(changes))
    await t.test(name, async (t) => {
      const { one, two } = await lockedWorld(t)
      await one.put('alice', '/data/e/x', 'x')
      await one.put('alice', '/other/y', 'y')
      await one.put('alice', '/data/d/h', 'h')
      const lock = await one.lock('bob', '/data/d')
      t.equal(await outcome(change(two, '/data/d', ['urn:uuid:other'])), 'locked', `${name} with a wrong token`)
      t.equal(
        await outcome(two.put('alice', '/data/d/f', 'x', tokensOf(lock))),
        'locked',
        'a token is its holder’s alone',
      )
      t.equal(await outcome(change(two, '/data/d', tokensOf(lock))), 'ok', `${name} with the token`)
    })
})

t.test('a replaced file stays locked, under its new identity too', async (t) => {
  const { one, two, memory } = await lockedWorld(t)
  const lock = await one.lock('alice', '/data/d/f')
  await two.put('alice', '/data/d/f', 'mine', tokensOf(lock))
  t.equal(await outcome(one.put('bob', '/data/d/f', 'x')), 'locked')
  // Somebody moves it behind the gateway's back.
  const call = by('keeper')
  await (await memory.rename(p('/d/f'), p('/e/moved'), { condition: 'any' }, call)).proceed()
  t.equal(await outcome(one.put('bob', '/data/e/moved', 'x')), 'locked', 'the object is known by its id')
  t.equal(await outcome(one.put('bob', '/data/d/f', 'x')), 'locked', 'and its place is still taken')
  const { failed } = await one.storage.remove(by('bob'), p('/data/e'), { recursive: true })
  t.same(
    failed.map(({ path, error }) => [path, StorageError.from(error).code]),
    [['/data/e/moved', 'locked']],
  )
})

t.test('a rename leaves the lock behind, and a removal ends it', async (t) => {
  const { one, two } = await lockedWorld(t)
  const first = await one.lock('alice', '/data/d/f')
  await two.storage.rename(by('alice', tokensOf(first)), p('/data/d/f'), p('/data/d/g'))
  t.equal(await outcome(one.put('bob', '/data/d/g', 'x')), 'ok')
  t.equal(await outcome(one.put('bob', '/data/d/f', 'x')), 'ok')
  const second = await one.lock('alice', '/data/d/g')
  await two.storage.remove(by('alice', tokensOf(second)), p('/data/d/g'))
  t.equal(await outcome(one.put('bob', '/data/d/g', 'x')), 'ok')
  t.same(await one.storage.locks.list(by('alice')), [])
  const third = await one.lock('alice', '/data/d')
  await two.storage.copy(by('bob'), p('/data/d/g'), p('/data/e/g'))
  t.equal(await outcome(one.put('bob', '/data/e/g', 'x')), 'ok', 'a copy is not locked')
  await one.storage.rename(by('alice', tokensOf(third)), p('/data/d/f'), p('/data/d/f'))
  t.equal(await outcome(one.put('bob', '/data/d/f', 'x')), 'locked', 'a rename to itself changes nothing')
})

t.test('a file that was made and is open meets the locks of where another process has moved it', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await one.storage.edit(by('bob'), p('/data/d/made'), make)
  await two.storage.rename(by('alice'), p('/data/d/made'), p('/data/e/moved'))
  const lock = await two.lock('alice', '/data/e/moved')
  t.equal(await outcome(file.write(Buffer.from('x'), 0)), 'locked')
  t.equal(await outcome(file.truncate(1)), 'locked')
  await two.unlock('alice', '/data/e/moved', lock)
  t.equal(await outcome(file.write(Buffer.from('x'), 0)), 'ok')
  await file.close()
})

t.test('exclusive locks exclude, shared ones share', async (t) => {
  const rows = [
    ['/data/d', 'exclusive', '0', '/data/d/f', 'exclusive', '0', 'ok'],
    ['/data/d', 'exclusive', 'infinity', '/data/d/f', 'exclusive', '0', 'locked'],
    ['/data/d', 'exclusive', 'infinity', '/data/d/f', 'shared', '0', 'locked'],
    ['/data/d', 'shared', 'infinity', '/data/d/f', 'exclusive', '0', 'locked'],
    ['/data/d', 'shared', 'infinity', '/data/d/f', 'shared', '0', 'ok'],
    ['/data/d/f', 'exclusive', '0', '/data/d', 'exclusive', 'infinity', 'locked'],
    ['/data/d/f', 'exclusive', '0', '/data/d', 'exclusive', '0', 'ok'],
    ['/data/d/f', 'exclusive', '0', '/again/d/f', 'shared', '0', 'locked'],
    ['/data/d/f', 'exclusive', '0', '/part/f', 'exclusive', '0', 'locked'],
    ['/data/d/f', 'exclusive', '0', '/part', 'shared', 'infinity', 'locked'],
    ['/data/d/f', 'exclusive', '0', '/data/e', 'exclusive', 'infinity', 'ok'],
  ] as const
  for (const [path, scope, depth, other, otherScope, otherDepth, expected] of rows)
    await t.test(`${scope} ${depth} at ${path}, then ${otherScope} ${otherDepth} at ${other}`, async (t) => {
      const { one, two } = await lockedWorld(t)
      await one.lock('alice', path, { scope, depth })
      const code = await outcome(two.lock('bob', other, { scope: otherScope, depth: otherDepth }))
      t.equal(code, expected)
    })
})

t.test('who holds one of several shared locks may write', async (t) => {
  const { one, two } = await lockedWorld(t)
  const mine = await one.lock('alice', '/data/d/f', { scope: 'shared' })
  await two.lock('bob', '/data/d/f', { scope: 'shared' })
  t.equal(await outcome(two.put('alice', '/data/d/f', 'x', tokensOf(mine))), 'ok')
  t.equal(await outcome(two.put('alice', '/data/d/f', 'x')), 'locked')
})

t.test('a lock on nothing makes an empty file, in a locked directory only for its holder', async (t) => {
  const { one, two } = await lockedWorld(t)
  const { lock, created } = await one.storage.locks.lock(by('alice'), p('/data/d/new'), {
    scope: 'exclusive',
    depth: '0',
  })
  t.equal(created, true)
  t.equal((await two.storage.stat(by('bob'), p('/data/d/new'))).size, 0)
  t.equal(await outcome(two.put('bob', '/data/d/new', 'x')), 'locked')
  const onlyNew: { conditions: { ifNoneMatch: '*' } } = { conditions: { ifNoneMatch: '*' } }
  t.equal(await outcome(two.put('alice', '/data/d/new', 'x', tokensOf(lock), onlyNew)), 'ok', 'it is new to its maker')
  t.equal(await outcome(two.put('alice', '/data/d/new', 'x', tokensOf(lock), onlyNew)), 'precondition', 'once')
  t.equal(await outcome(one.lock('alice', '/data/d/no/parent')), 'no-parent')
  const directory = await one.lock('alice', '/data/e', { depth: '0' })
  t.equal(await outcome(two.lock('bob', '/data/e/n')), 'locked')
  t.equal(await outcome(two.lock('alice', '/data/e/n', {}, tokensOf(directory))), 'ok')
  t.equal((await one.storage.locks.list(by('bob'))).length, 0, 'what failed leaves no lock')
})

t.test('a lock is granted only when what was decided before it is over', async (t) => {
  for (const here of ['one', 'two'] as const) {
    const world = await lockedWorld(t)
    const { held, two } = world
    const go = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    held.commit = go.promise
    held.reached = reached.resolve
    const writing = world[here].put('bob', '/data/d/f', 'under way')
    await reached.promise
    let granted = false
    const locking = two.lock('alice', '/data/d/f').then((lock) => {
      granted = true
      return lock
    })
    while ((await world[here].storage.locks.list(by('alice'))).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 10))
    t.equal(granted, false, 'it waits')
    t.equal(await outcome(world[here].storage.remove(by('bob'), p('/data/d/f'))), 'locked', 'nothing else begins')
    go.resolve()
    await writing
    await locking
    t.equal((await two.storage.stat(by('bob'), p('/data/d/f'))).size, 'under way'.length)
  }
})

t.test('a change that does not end keeps a lock from being granted, and nothing stays of it', async (t) => {
  for (const here of ['one', 'two'] as const) {
    const world = await lockedWorld(t)
    const { held, two } = world
    const go = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    held.commit = go.promise
    held.reached = reached.resolve
    const writing = world[here].put('bob', '/data/d/f', 'slow')
    await reached.promise
    t.equal(await outcome(two.lock('alice', '/data/d/f')), 'busy')
    t.equal(await outcome(two.lock('alice', '/data/e')), 'ok', 'elsewhere nobody waits')
    go.resolve()
    await writing
    delete held.commit
    t.equal(await outcome(two.put('bob', '/data/d/f', 'x')), 'ok')
  }
})

t.test('an upload that began before the lock is refused when it ends', async (t) => {
  const { one, two } = await lockedWorld(t)
  const writing = await one.storage.write(by('bob'), p('/data/d/f'), {})
  writing.body.write('half')
  const edited = await one.storage.edit(by('bob'), p('/data/d/f'))
  await two.lock('alice', '/data/d/f')
  writing.body.end('rest')
  t.equal(await outcome(writing.commit()), 'locked')
  t.equal(await outcome(edited.write(Buffer.from('x'), 0)), 'locked')
  t.equal(await outcome(edited.truncate(0)), 'locked')
  await edited.close()
  t.equal((await two.storage.stat(by('bob'), p('/data/d/f'))).size, 3)
})

t.test('a lock ends when its time is over, later if it was refreshed in another process', async (t) => {
  const { one, two, clock } = await lockedWorld(t)
  const lock = await one.lock('alice', '/data/d/f', { timeout: 100 })
  t.equal(lock.timeout, 100)
  clock.ahead = 90_000
  const again = await two.storage.locks.refresh(by('alice'), p('/data/d/f'), lock.token ?? '', 100)
  t.equal(again.timeout, 100)
  clock.ahead = 150_000
  t.equal(await outcome(one.put('bob', '/data/d/f', 'x')), 'locked')
  clock.ahead = 200_000
  t.equal(await outcome(one.put('bob', '/data/d/f', 'x')), 'ok')
  t.equal(await outcome(one.unlock('alice', '/data/d/f', lock)), 'precondition')
  const endless = await one.lock('alice', '/data/d/f', { timeout: 4_100_000_000 })
  t.equal(endless.timeout, 86_400)
})

t.test('who may not write any more does not keep others from it', async (t) => {
  const { one, memory } = await lockedWorld(t)
  const lock = await one.lock('bob', '/data/d', { timeout: 100 })
  const refresh = (path: string) => one.storage.locks.refresh(by('bob'), p(path), lock.token ?? '', 100)
  t.equal(await outcome(refresh('/data/d/f')), 'ok')
  t.equal(await outcome(refresh('/data/d/new')), 'ok', 'at a name that is free')
  t.equal(await outcome(refresh('/data/e')), 'precondition')
  const closed = aclOf('alice', allow(user('alice'), everything), allow(user('bob'), readAll))
  for (const path of ['/d', '/d/f']) memory.replaceAcl(p(path), closed)
  for (const path of ['/data/d', '/data/d/f', '/data/d/new']) t.equal(await outcome(refresh(path)), 'denied', path)
  t.equal(await outcome(one.unlock('bob', '/data/d', lock)), 'ok', 'he may let go of it')
})

t.test('only its holder ends a lock at what it covers; administrators end any by its name', async (t) => {
  const { one, two } = await lockedWorld(t)
  const lock = await one.lock('alice', '/data/d')
  const token = lock.token ?? ''
  t.equal(await outcome(two.unlock('bob', '/data/d', lock)), 'not-owner')
  t.equal(await outcome(two.unlock('alice', '/data/e', lock)), 'precondition')
  t.equal(await outcome(two.storage.locks.release(by('bob'), token)), 'not-found')
  t.same(await two.storage.locks.list(by('bob')), [])
  const [seen] = (await two.storage.locks.discovery(by('bob')))(p('/data/d/f'), undefined)
  t.equal(seen?.token, undefined, 'others see the lock and not its token')
  t.equal(seen?.user, 'alice@x')
  const admin = person('admin', { administrator: true })
  t.equal((await two.storage.locks.list(by(admin))).length, 1)
  t.equal(await outcome(two.storage.locks.release(by(admin), token)), 'ok')
  t.equal(await outcome(one.put('bob', '/data/d/f', 'x')), 'ok')
  const child = await one.lock('alice', '/data/d')
  t.equal(await outcome(two.unlock('alice', '/data/d/f', child)), 'ok', 'at a member too')
})

t.test('credentials made from one count together, and their maker sees and ends their locks', async (t) => {
  const { one } = await lockedWorld(t)
  const derived = (name: string) => by(person('alice', { id: `alice#macaroon:${name}`, counted: person('alice').id }))
  const wish = { scope: 'shared', depth: '0' } as const
  for (const name of ['1', '2']) await one.storage.locks.lock(derived(name), p('/data/d/f'), wish)
  const { locks } = await one.state.locks.changes(-1)
  t.same([...new Set(locks.map(({ counted }) => counted))], [person('alice').id])
  const [first] = await one.storage.locks.list(by('alice'))
  const { token = '' } = first ?? {}
  t.equal(await outcome(one.put('alice', '/data/d/f', 'x', [token])), 'locked', 'she does not hold it')
  t.equal(await outcome(one.storage.locks.unlock(by('alice'), p('/data/d/f'), token)), 'not-owner')
  const guest = by(person('alice', { id: 'alice#share:1', counted: 'alice#shares' }))
  t.same(await one.storage.locks.list(guest), [])
  t.equal(await outcome(one.storage.locks.release(guest, token)), 'not-found')
  t.equal(await outcome(one.storage.locks.release(by('alice'), token)), 'ok')
  t.equal((await one.storage.locks.list(by('alice'))).length, 1)
})

t.test('who may not write may not lock, and learns nothing of locks', async (t) => {
  const { one, two, memory } = await lockedWorld(t)
  memory.replaceAcl(p('/d/f'), aclOf('alice', allow(user('alice'), everything), allow(user('bob'), readAll)))
  memory.replaceAcl(p('/e'), aclOf('alice', allow(user('alice'), everything), allow(user('bob'), readAll)))
  t.equal(await outcome(one.lock('bob', '/data/d/f')), 'denied')
  t.equal(await outcome(one.lock('bob', '/data/e')), 'denied')
  t.equal(await outcome(one.lock('bob', '/data/e/new')), 'denied')
  await one.lock('alice', '/data/d/f')
  t.equal(await outcome(two.put('bob', '/data/d/f', 'x')), 'denied')
  t.equal(await outcome(two.lock('bob', '/data/d/f')), 'denied')
  const reader = person('bob', { grants: grants('read:/data') })
  t.equal(await outcome(one.storage.locks.lock(by(reader), p('/data/d'), { scope: 'shared', depth: '0' })), 'denied')
  const nobody = { ...by('x'), principal: anonymous }
  const wish = { scope: 'shared', depth: '0' } as const
  t.equal(await outcome(one.storage.locks.lock(nobody, p('/data/d'), wish)), 'unauthenticated')
  t.equal(await outcome(one.lock('alice', '/data')), 'denied', 'a lock does not reach into other mounts')
})

t.test('a refusal names a lock root only on the way to what was asked for', async (t) => {
  const { one, two } = await lockedWorld(t)
  await one.lock('alice', '/data/d/sub')
  await one.lock('alice', '/data/e')
  const rootOf = async (work: Promise<unknown>) => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    return error instanceof LockedError ? `${error.condition} ${error.root}` : StorageError.from(error).code
  }
  const removing = two.storage.remove(by('bob'), p('/data/d'), { recursive: true })
  t.equal(await rootOf(removing), 'lock-token-submitted /data/d')
  t.equal(await rootOf(two.put('bob', '/data/e/n', 'x')), 'lock-token-submitted /data/e')
  t.equal(await rootOf(two.put('bob', '/again/e/n', 'x')), 'lock-token-submitted /again/e/n')
  t.equal(await rootOf(two.lock('bob', '/data/d')), 'no-conflicting-lock /data/d')
})

t.test('a process that starts later knows the locks', async (t) => {
  const { one, process } = await lockedWorld(t)
  await one.lock('alice', '/data/d/f')
  const late = await process()
  t.equal(await outcome(late.put('bob', '/data/d/f', 'x')), 'locked')
})

t.test('a principal has only so many locks', async (t) => {
  const { one } = await lockedWorld(t)
  const wish = { scope: 'shared', depth: '0' } as const
  const codes = new Set<string>()
  for (let round = 0; round < 1002 && !codes.has('busy'); round++) {
    codes.add(await outcome(one.storage.locks.lock(by('alice'), p('/data/d/f'), wish)))
  }
  t.same([...codes], ['ok', 'busy'])
  t.equal((await one.storage.locks.list(by('alice'))).length, 1000)
  t.equal(await outcome(one.storage.locks.lock(by('bob'), p('/data/d/f'), wish)), 'ok')
  const long = { ...wish, owner: 'x'.repeat(4097) }
  t.equal(await outcome(one.storage.locks.lock(by('bob'), p('/data/d/f'), long)), 'too-large')
})
