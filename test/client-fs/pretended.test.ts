/** Answers that no gateway gives, and machines that are started anew: nothing is lost without a word. */

import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Pretended, say } from './pretended.ts'

const path = parsePath('/data/file')
const anew = { write: true, create: { exclusive: false, mode: 0o600 } }
const text = (value: string) => Buffer.from(value)

t.test('writes that no sync followed are told as lost, once, when the machine was started anew', async (t) => {
  const gateway = await Pretended.start(t)
  const reboot = (boot: string | undefined) => {
    gateway.boot = boot
    gateway.forget()
  }
  const fs = await gateway.reach(t)
  const file = await fs.open(path, anew)
  await file.write(text('a'), 0)
  reboot('second')
  await t.rejects(file.write(text('b'), 1), { code: 'stale' }, 'the next write')
  await file.write(text('b'), 1)
  reboot('third')
  await t.rejects(file.sync(), { code: 'stale' }, 'the next sync')
  await file.sync()
  await file.write(text('c'), 2)
  await file.sync()
  reboot('fourth')
  await file.write(text('d'), 3)
  t.pass('what was synced is durable')
  reboot('fifth')
  await fs.stat(path)
  await t.rejects(file.commit(), { code: 'stale' }, 'the end of the file')
  await file.commit()
  await file.truncate(0)
  reboot('sixth')
  await t.rejects(file.write(text('e'), 0), { code: 'stale' }, 'a length is lost as well')
  await file.write(text('e'), 0)
  reboot('sixth')
  await file.write(text('f'), 1)
  t.pass('processes alone may come and go')
  reboot(undefined)
  await file.write(text('g'), 2)
  t.pass('a gateway that does not tell is believed')
  await file.close()
})

t.test('what a storage refuses late is asked for at the end, and of no other storage', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t)
  const usual = await fs.open(path, anew)
  await usual.write(text('a'), 0)
  await usual.commit()
  t.notOk(gateway.asked.includes('op/commit'))
  gateway.flushes = true
  const late = await fs.open(path, anew)
  await late.write(text('a'), 0)
  gateway.misbehave = ({ what, response }) => {
    if (what !== 'op/commit') return false
    say(response, 507, { code: 'quota' })
    return true
  }
  await t.rejects(late.commit(), { code: 'quota' })
  await Promise.all([usual.close(), late.close()])
})

t.test('a write that comes to its end while a sync is on its way is not covered by it', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t)
  const file = await fs.open(path, anew)
  await file.write(text('a'), 0)
  const came = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  gateway.misbehave = async ({ what, response }) => {
    if (what !== 'op/sync') return false
    came.resolve()
    await go.promise
    say(response, 200, {})
    return true
  }
  const sync = file.sync()
  await came.promise
  await file.write(text('b'), 1)
  go.resolve()
  await sync
  gateway.boot = 'second'
  gateway.forget()
  await t.rejects(file.write(text('c'), 2), { code: 'stale' })
})

t.test('a success that is not of the worker is none: a page that is shown to all who pass', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t, { timeout: 400 })
  const file = await fs.open(path, anew)
  gateway.misbehave = ({ response }) => {
    const page = '<html>Please log in</html>'
    response.writeHead(200, { 'content-type': 'text/html', 'content-length': String(page.length) }).end(page)
    return true
  }
  const failure = { code: /^(unavailable|timeout)$/ }
  await t.rejects(file.write(text('a'), 0), failure)
  await t.rejects(file.read(Buffer.alloc(10), 0), failure)
  await t.rejects(file.sync(), failure)
  gateway.misbehave = () => false
})

t.test('a part, or no content at all, is not taken for the bytes of a file', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t, { timeout: 400 })
  gateway.bytes = text('0123456789')
  const file = await fs.open(path, anew)
  for (const status of [204, 206, 203]) {
    gateway.misbehave = ({ what, response }) => {
      if (what === 'data') say(response, status, status === 204 ? undefined : text('01234'))
      return what === 'data'
    }
    await t.rejects(file.read(Buffer.alloc(10), 0), { code: /^(unavailable|timeout)$/ }, String(status))
  }
})

t.test('what must not be done twice keeps its name until it is answered, also over refusals', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t)
  const names: unknown[] = []
  gateway.misbehave = ({ what, request, response }) => {
    if (what !== 'op/mkdir') return false
    names.push(request.headers['portolan-request'])
    if (names.length === 1) request.socket.destroy()
    else if (names.length === 2) say(response, 503, { code: 'busy' })
    return names.length < 3
  }
  await fs.mkdir(path, 0o700)
  t.equal(names.length, 3)
  t.equal(new Set(names).size, 1)
})

t.test('a proxy that has lost its gateway is waited with, whatever was asked', async (t) => {
  for (const status of [408, 502, 503, 504]) {
    const gateway = await Pretended.start(t)
    const fs = await gateway.reach(t)
    const names: unknown[] = []
    let left = 2
    let spoiled = 'op/mkdir'
    gateway.misbehave = ({ what, request, response }) => {
      if (what === 'op/mkdir') names.push(request.headers['portolan-request'])
      if (what !== spoiled || left-- <= 0) return false
      response.writeHead(status, { 'content-type': 'text/html', 'content-length': '0' }).end()
      return true
    }
    await fs.mkdir(path, 0o700)
    t.equal(new Set(names).size, 1, `${status}: under one name`)
    gateway.forget()
    left = 2
    spoiled = 'session'
    await fs.mkdir(path, 0o700)
    t.equal(left <= 0, true, 'also while a session begins')
  }
})

t.test('a stream of events that is always sent away does not keep the machine busy', async (t) => {
  const gateway = await Pretended.start(t)
  gateway.misbehave = ({ what, response }) => {
    if (what === 'events') say(response, 421, { code: 'other-worker' })
    return what === 'events'
  }
  const fs = await gateway.reach(t)
  await new Promise((resolve) => setTimeout(resolve, 700))
  await fs.close()
  t.ok(gateway.asked.filter((what) => what === 'events').length < 110)
})

t.test('an open that is interrupted leaves nothing open at the gateway', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t)
  const came = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const released = Promise.withResolvers<string>()
  gateway.misbehave = async ({ what, body }) => {
    if (what === 'op/release') {
      const { handles } = JSON.parse(body.toString()) as { readonly handles?: readonly string[] }
      if (handles) released.resolve(handles.join())
    }
    if (what !== 'op/open') return false
    came.resolve()
    await go.promise
    return false
  }
  const stop = new AbortController()
  const opening = fs.open(path, anew, stop.signal)
  await came.promise
  stop.abort()
  await t.rejects(opening, { code: 'cancelled' })
  go.resolve()
  t.equal(await released.promise, 'h1')
})

t.test('a lock that is given back while it is taken again, and a file that is closed, leave nothing', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t)
  const file = await fs.open(path, anew)
  const me = { owner: 'a', pid: 1, kind: 'posix' } as const
  await file.lock({ start: 0, end: 10, type: 'exclusive' }, me, false)
  gateway.forget()
  const came = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const done: string[] = []
  const ended = Promise.withResolvers<void>()
  gateway.misbehave = async ({ what, body }) => {
    if (what === 'op/lock') {
      came.resolve()
      await go.promise
    }
    const { handle, handles = [handle] } = JSON.parse(body.toString() || '{}')
    if (handles.includes('h2')) done.push(what)
    if (what === 'op/release' && handles.includes('h2')) ended.resolve()
    return false
  }
  await fs.stat(path)
  await came.promise
  const unlocked = file.unlock({ start: 0, end: 10 }, me)
  go.resolve()
  await unlocked
  await file.close()
  await ended.promise
  t.same([done[0], done.at(-2), done.at(-1)], ['op/lock', 'op/unlock', 'op/release'])
})

t.test('a lock that came when nobody waited for it any more is given back, and nothing else', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t)
  const file = await fs.open(path, anew)
  const me = { owner: 'a', pid: 1, kind: 'posix' } as const
  await file.lock({ start: 10, end: 20, type: 'shared' }, me, false)
  await file.lock({ start: 40, end: 50, type: 'exclusive' }, me, false)
  const [came, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const asked: string[] = []
  gateway.misbehave = async ({ what, body }) => {
    if (!what.endsWith('lock')) return false
    const { start, end, type, wait } = JSON.parse(body.toString())
    if (wait === true) {
      came.resolve()
      await go.promise
    } else asked.push(`${what} ${start} ${end} ${type}`)
    return false
  }
  const stop = new AbortController()
  const waiting = file.lock({ start: 0, end: undefined, type: 'exclusive' }, me, true, stop.signal)
  await came.promise
  stop.abort()
  await t.rejects(waiting, { code: 'cancelled' })
  const next = file.lock({ start: 5, end: 6, type: 'shared' }, me, false)
  go.resolve()
  await next
  t.same(asked, [
    'op/cancel-lock undefined undefined undefined',
    'op/lock 10 20 shared',
    'op/lock 40 50 exclusive',
    'op/unlock 0 10 undefined',
    'op/unlock 20 40 undefined',
    'op/unlock 50 null undefined',
    'op/lock 5 6 shared',
  ])
  await file.close()
})

t.test('a listing that breaks off each time comes to an end', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t)
  gateway.misbehave = ({ what, response, body }) => {
    if (what !== 'op/list') return false
    const isFirst = !body.includes('cursor')
    say(response, isFirst ? 200 : 400, isFirst ? { entries: [], cursor: 'c' } : { code: 'invalid' })
    return true
  }
  await t.rejects(
    async () => {
      for await (const _page of fs.list(path));
    },
    { code: 'unavailable' },
  )
  t.ok(gateway.asked.length < 40)
})

t.test(
  'a credential that hangs holds nobody up: not those who are interrupted, not beyond the time limit',
  async (t) => {
    const gateway = await Pretended.start(t)
    let hangs = false
    const token = new Secret('token')
    const source = {
      current: () => (hangs ? new Promise<Secret>(() => {}) : Promise.resolve(token)),
      refused: () => new Promise<boolean>(() => {}),
      describe: () => 'the test',
      close: async () => {},
    }
    const fs = await gateway.reach(t, { timeout: 300 }, source)
    hangs = true
    await t.rejects(fs.stat(path), { code: 'timeout' })
    const stop = new AbortController()
    const looking = fs.stat(path, stop.signal)
    setImmediate(() => stop.abort())
    await t.rejects(looking, { code: 'cancelled' })
    hangs = false
    gateway.misbehave = ({ what, response }) => {
      if (what === 'op/stat') say(response, 401, { code: 'unauthenticated' })
      return what === 'op/stat'
    }
    await t.rejects(fs.stat(path), { code: 'timeout' })
  },
)

t.test('a sync that takes longer than the gateway may be away is waited for', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t, { timeout: 300 })
  const file = await fs.open(path, anew)
  gateway.misbehave = async ({ what, response }) => {
    if (what !== 'op/sync') return false
    await new Promise((resolve) => setTimeout(resolve, 900))
    say(response, 200, {})
    return true
  }
  await file.sync()
  t.equal(gateway.asked.filter((what) => what === 'op/sync').length, 1)
  await file.close()
})

t.test('the first session is waited for no longer than the mount says', async (t) => {
  const gateway = await Pretended.start(t)
  // A gateway that answers all the same, too late.
  gateway.misbehave = () => new Promise((resolve) => setTimeout(resolve, 1500, false))
  await t.rejects(gateway.reach(t, { timeout: 300 }), { code: 'timeout' })
})

t.test('a process that takes no connections for a moment keeps its session', async (t) => {
  const gateway = await Pretended.start(t)
  const fs = await gateway.reach(t)
  const file = await fs.open(path, anew)
  let missed = 0
  gateway.misbehave = ({ what, response }) => {
    if (what === 'session' || missed >= 30) return false
    missed++
    response.setHeader('Portolan-Worker', 'another')
    say(response, 421, { code: 'other-worker' })
    return true
  }
  gateway.asked.length = 0
  await file.write(text('a'), 0)
  t.equal(missed, 30)
  t.notOk(gateway.asked.includes('session'), 'no other session is begun')
  await file.close()
})
