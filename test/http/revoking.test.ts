/** A ban ends what is under way: downloads, uploads and streams, also while the gateway is ending itself. */

import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import type { Identity } from '../../acl/identity/identity.ts'
import type { Principal } from '../../acl/principal.ts'
import { ask, identity, openDoor, type Setting, store } from './door.ts'

const limit = 10_000

interface Guarded extends Setting {
  readonly banned: Set<string>
}

async function openGuarded(t: Test): Promise<Guarded> {
  const banned = new Set<string>()
  const guarded: Identity = { ...identity, isRevoked: ({ id }: Principal) => banned.has(id) }
  const setting = await openDoor(t, { identity: guarded })
  await store(setting.storage, '/data/large', Buffer.alloc(32 * 1024 * 1024))
  return { ...setting, banned }
}

/** Sends the text and leaves the rest of the answer unread after the first of it. */
async function begin(t: Test, port: number, text: string) {
  const socket = connect({ host: '127.0.0.1', port })
  t.teardown(() => void socket.destroy())
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  socket.write(`${text.replaceAll('\n', '\r\n')}`)
  return { socket, closed }
}

const download = 'GET /data/large HTTP/1.1\nHost: localhost\nAuthorization: Bearer alice\n\n'
const upload = 'PUT /data/new HTTP/1.1\nHost: localhost\nAuthorization: Bearer alice\nContent-Length: 100\n'

/** Resolves with how long it took until the log of decisions said that the call was cut. */
async function cutAfter({ audit }: Setting, action: string): Promise<number> {
  const start = performance.now()
  for (;;) {
    const line = audit.records.find((each) => each.action === action && each.reason?.rule === 'revoked')
    if (line) return performance.now() - start
    if (performance.now() - start > 2 * limit) throw new Error('it goes on')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

t.test('a download is cut', async (t) => {
  const setting = await openGuarded(t)
  const { socket } = await begin(t, setting.port, download)
  await once(socket, 'data')
  socket.pause()
  setting.banned.add('test|alice')
  t.ok((await cutAfter(setting, 'read')) < limit)
})

t.test('an upload is cut, and leaves nothing', async (t) => {
  const setting = await openGuarded(t)
  const { socket, closed } = await begin(t, setting.port, `${upload}Expect: 100-continue\n\n`)
  await once(socket, 'data')
  socket.write('some of it')
  setting.banned.add('test|alice')
  t.ok((await cutAfter(setting, 'create')) < limit)
  await closed
  setting.banned.clear()
  t.equal((await ask(setting.port, 'GET', '/data/new', { as: 'alice' })).status, 404)
})

t.test('what is let finish at the end of the gateway is cut all the same', async (t) => {
  const setting = await openGuarded(t)
  const { socket } = await begin(t, setting.port, download)
  await once(socket, 'data')
  socket.pause()
  const start = performance.now()
  const ended = setting.door.close({ deadline: 6 * limit })
  setting.banned.add('test|alice')
  t.ok((await cutAfter(setting, 'read')) < limit)
  await ended
  t.ok(performance.now() - start < 2 * limit, 'and nobody waits for it any more')
})

t.test('others go on', async (t) => {
  const setting = await openGuarded(t)
  const { socket } = await begin(t, setting.port, download)
  await once(socket, 'data')
  socket.pause()
  const other = await begin(t, setting.port, download.replace('alice', 'bob'))
  await once(other.socket, 'data')
  other.socket.pause()
  setting.banned.add('test|bob')
  await cutAfter(setting, 'read')
  other.socket.resume()
  await other.closed
  let received = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.on('data', (chunk) => {
    received += chunk.length
    if (received > 30 * 1024 * 1024) resolve()
  })
  socket.resume()
  await promise
  t.pass('all of it came')
})
