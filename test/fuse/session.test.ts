/** Each request is answered once, whatever becomes of it. */

import { constants } from 'node:os'
import t, { type Test } from 'tap'
import { errnoOf } from '../../mounts/fuse/errors.ts'
import { Notices } from '../../mounts/fuse/kernel/notices.ts'
import { opcode } from '../../mounts/fuse/kernel/protocol.ts'
import { Session, type SessionOptions } from '../../mounts/fuse/kernel/session.ts'
import type { Context } from '../../mounts/fuse/operations.ts'
import { MemoryOperations } from './memory-operations.ts'
import { type Asking, initRequest, request, systemError, TestDevice, u32, u64 } from './requests.ts'

const { errno } = constants

async function started(t: Test, more: Partial<SessionOptions> = {}) {
  const device = new TestDevice()
  const notices = new Notices(device)
  const operations = new MemoryOperations()
  operations.put('file', Buffer.from('content'))
  const warnings: string[] = []
  const warn = (line: string) => warnings.push(line)
  const session = new Session({ device, notices, operations, errnoOf, timeout: 60, warn, ...more })
  t.teardown(async () => {
    device.send(systemError('ENODEV'))
    await session.ended
  })
  if (!more.resumed) device.send(initRequest)
  await session.agreed
  let unique = 2n
  const send = (code: number, asking: Asking, ...parts: readonly Buffer[]) => {
    unique += 2n
    device.send(request(code, { unique, ...asking }, ...parts))
    return unique
  }
  const ask = async (code: number, asking: Asking, ...parts: readonly Buffer[]) =>
    device.reply(send(code, asking, ...parts))
  return { device, notices, operations, session, warnings, send, ask }
}

const name = (text: string) => Buffer.from(`${text}\0`)
const interrupt = (target: bigint) => [opcode.interrupt, { unique: target | 1n }, u64(target)] as const

/** An operation that goes on until its signal aborts, or for ever. */
function held(operations: MemoryOperations, listens = true) {
  const begun = Promise.withResolvers<Context>()
  operations.before = (_operation, context) => {
    begun.resolve(context)
    return new Promise((_, reject) => {
      if (listens) context.signal.addEventListener('abort', () => reject(context.signal.reason))
    })
  }
  return begun.promise
}

t.test('requests are answered, failures by their number', async (t) => {
  const { ask } = await started(t)
  const entry = await ask(opcode.lookup, {}, name('file'))
  t.equal(entry.error, 0)
  const nodeid = Number(entry.body.readBigUInt64LE(0))
  t.equal((await ask(opcode.lookup, {}, name('none'))).error, -errno.ENOENT)
  const read = await ask(opcode.read, { nodeid }, u64(1n), u64(3n), u32(100), u32(0), u64(0n), u32(0), u32(0))
  t.equal(String(read.body), 'tent')
  t.equal((await ask(opcode.getattr, { nodeid: 999 }, u32(0), u32(0), u64(0n))).error, -errno.ESTALE)
})

t.test('only what nobody offers is switched off for good', async (t) => {
  const { ask } = await started(t)
  for (const code of [opcode.statx, opcode.poll, opcode.bmap, opcode.syncfs, opcode.tmpfile, 4000]) {
    t.equal((await ask(code, {}, Buffer.alloc(64))).error, -errno.ENOSYS, `${code}`)
  }
  t.equal((await ask(opcode.ioctl, {}, Buffer.alloc(64))).error, -errno.ENOTTY)
  t.equal((await ask(opcode.getxattr, {}, u32(0), u32(0), name('user.none'))).error, -errno.ENODATA)
})

t.test('a request that is too short is an error, and no end', async (t) => {
  const { ask, device, warnings } = await started(t)
  const codes = Object.values(opcode).filter((code) => code < 100)
  const silent: readonly number[] = [opcode.forget, opcode.batchForget, opcode.notifyReply, opcode.init]
  for (const code of codes.filter((code) => !silent.includes(code))) {
    const { error } = await ask(code, {})
    if (error === 0)
      t.ok([opcode.readlink, opcode.statfs, opcode.opendir, opcode.destroy].includes(code as 5), `${code}`)
    else t.ok(error < 0 && error > -512, `${code}: ${error}`)
  }
  device.send(Buffer.alloc(20))
  device.send(request(opcode.forget, { unique: 1000n }))
  device.send(request(opcode.batchForget, { unique: 1002n }, u32(9), u32(0)))
  t.equal((await ask(opcode.access, {}, u32(4), u32(0))).error, 0)
  t.equal(warnings.length, 3)
})

t.test('an attribute is asked for by its length, then by its value', async (t) => {
  const { ask, operations } = await started(t)
  operations.root.xattrs.set('user.a', Buffer.from('value'))
  const get = (room: number) => ask(opcode.getxattr, {}, u32(room), u32(0), name('user.a'))
  t.equal((await get(0)).body.readUInt32LE(0), 5)
  t.equal(String((await get(5)).body), 'value')
  t.equal((await get(4)).error, -errno.ERANGE)
  t.equal(String((await ask(opcode.listxattr, {}, u32(100), u32(0))).body), 'user.a\0')
  await ask(opcode.setxattr, {}, u32(3), u32(0), u64(0n), name('user.b'), Buffer.from('new'))
  t.equal(String(operations.root.xattrs.get('user.b')), 'new')
})

t.test('a signal that ends the caller ends its request', async (t) => {
  const { device, operations, send } = await started(t)
  const begun = held(operations)
  const unique = send(opcode.getattr, { pid: 0 }, u32(0), u32(0), u64(0n))
  await begun
  device.send(request(...interrupt(unique)))
  t.equal((await device.reply(unique)).error, -errno.EINTR)
})

t.test('a signal that the caller handles breaks no call, but a wait for a lock', async (t) => {
  const { device, operations, send, ask } = await started(t)
  const begun = held(operations)
  // This very process has no signal pending that ends it.
  const unique = send(opcode.getattr, { pid: process.pid }, u32(0), u32(0), u64(0n))
  const context = await begun
  device.send(request(...interrupt(unique)))
  operations.before = undefined
  t.equal((await ask(opcode.access, {}, u32(4), u32(0))).error, 0)
  t.notOk(context.signal.aborted)
  t.notOk(device.hasReply(unique))
  context.mayTakeLong?.()
  t.equal((await device.reply(unique)).error, -errno.EINTR, 'nor a wait for a tape')
  const waiting = held(operations)
  const lock = [u64(1n), u64(1n), u64(0n), u64(9n), u32(1), u32(1), u32(0), u32(0)]
  const blocked = send(opcode.setlkw, { pid: process.pid }, ...lock)
  await waiting
  device.send(request(...interrupt(blocked)))
  t.equal((await device.reply(blocked)).error, -errno.EINTR)
})

t.test('an interrupt for what is not known is to be repeated', async (t) => {
  const { device } = await started(t)
  device.send(request(...interrupt(0x100n)))
  t.equal((await device.reply(0x101n)).error, -errno.EAGAIN)
})

t.test('what lasts too long is told to end, and answered when it does not', { timeout: 30_000 }, async (t) => {
  const { device, operations, send } = await started(t, { timeout: 1, margin: 0 })
  const begun = held(operations)
  const listening = send(opcode.getattr, {}, u32(0), u32(0), u64(0n))
  await begun
  held(operations, false)
  const deaf = send(opcode.getattr, {}, u32(0), u32(0), u64(0n))
  t.equal((await device.reply(listening)).error, -errno.ETIMEDOUT)
  t.equal((await device.reply(deaf)).error, -errno.ETIMEDOUT)
})

t.test('what was made for a caller who is gone is taken back', async (t) => {
  const { device, operations, send, ask } = await started(t)
  device.refusal = systemError('ENOENT')
  send(opcode.create, {}, u32(0x8041), u32(0o100644), u32(0o022), u32(0), name('new'))
  await ask(opcode.access, {}, u32(4), u32(0))
  const made = operations.root.names.get('new')
  t.equal(operations.lookups.get(made?.nodeid ?? 0), 0)
  t.equal(operations.handles.size, 0)
  device.refusal = systemError('ENOENT')
  send(opcode.lookup, {}, name('file'))
  await ask(opcode.access, {}, u32(4), u32(0))
  t.equal(operations.lookups.get(operations.root.names.get('file')?.nodeid ?? 0), 0)
})

t.test('long writes keep their buffer, and the next request has another one', async (t) => {
  const { ask, operations } = await started(t)
  const file = operations.put('big', Buffer.alloc(0))
  const seen: Buffer[] = []
  operations.write = async (_context, { data }) => {
    seen.push(data)
    return data.length
  }
  const write = (fill: string, length: number) => {
    const head = [u64(1n), u64(0n), u32(length), u32(0), u64(0n), u32(1), u32(0)]
    return ask(opcode.write, { nodeid: file.nodeid }, ...head, Buffer.alloc(length, fill))
  }
  for (const [index, fill] of ['a', 'b', 'c', 'd', 'e', 'f'].entries()) {
    t.equal(
      (await write(fill, index % 2 === 0 ? 1 << 20 : 1000)).body.readUInt32LE(0),
      index % 2 === 0 ? 1 << 20 : 1000,
    )
  }
  t.same(
    seen.map((data) => [...new Set(data.toString('latin1'))].join('')),
    ['a', 'b', 'c', 'd', 'e', 'f'],
  )
})

t.test('a read-only mount refuses what changes anything', async (t) => {
  const { ask, operations } = await started(t, { readOnly: true })
  t.equal((await ask(opcode.mkdir, {}, u32(0o755), u32(0), name('d'))).error, -errno.EROFS)
  t.equal((await ask(opcode.open, {}, u32(1), u32(0))).error, -errno.EROFS)
  t.equal((await ask(opcode.open, {}, u32(0), u32(0))).error, 0)
  t.equal(operations.root.names.size, 1)
})

t.test('notices are written once each, after the answers, and attributes do not hide content', async (t) => {
  const { device, notices } = await started(t)
  notices.invalidateNode(7, false)
  notices.invalidateNode(7, true)
  notices.invalidateNode(7, false)
  notices.invalidateEntry(1, 'file')
  notices.invalidateEntry(1, 'file')
  t.same(device.notices, [])
  await notices.settled()
  t.same(
    device.notices.map((notice) => [notice.readInt32LE(4), notice.readUInt32LE(0), notice.readBigUInt64LE(8)]),
    [
      [2, 40, 0n],
      [3, 37, 0n],
    ],
  )
  t.equal(device.notices[0]?.readBigInt64LE(24), 0n, 'from the first page on')
  t.equal(device.notices[1]?.toString('utf8', 32), 'file\0')
})

t.test('the end closes everything, and answers nobody any more', async (t) => {
  const { device, operations, session, send } = await started(t)
  const begun = held(operations)
  send(opcode.getattr, {}, u32(0), u32(0), u64(0n))
  const context = await begun
  device.send(systemError('ENODEV'))
  await session.ended
  t.ok(context.signal.aborted)
  t.ok(operations.closed)
  t.ok(device.closed)
})

t.test('who takes over asks for what was not answered, with the bit that marks it', async (t) => {
  const resumed = { minor: 45, flags: ['extendedSetxattr'] as const, maxReadahead: 131_072, maxWrite: 1 << 20 }
  const { device, notices } = await started(t, { resumed })
  await notices.settled()
  t.same(
    device.notices.map((notice) => notice.readInt32LE(4)),
    [7],
  )
  const unique = (1n << 63n) | 8n
  device.send(request(opcode.access, { unique }, u32(4), u32(0)))
  t.equal((await device.reply(unique)).error, 0)
})

t.test('who takes over reads nothing before the kernel was told, so that nothing comes twice', async (t) => {
  const device = new TestDevice()
  const kept = Promise.withResolvers<void>()
  device.notify = () => kept.promise
  const operations = new MemoryOperations()
  const resumed = { minor: 45, flags: [], maxReadahead: 131_072, maxWrite: 1 << 20 } as const
  const session = new Session({ device, notices: new Notices(device), operations, errnoOf, timeout: 60, resumed })
  device.send(request(opcode.access, { unique: 8n }, u32(4), u32(0)))
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  t.notOk(device.hasReply(8n))
  kept.resolve()
  t.equal((await device.reply(8n)).error, 0)
  device.send(systemError('ENODEV'))
  await session.ended
})

t.test('a buffer that is given back twice is not used twice at once', async (t) => {
  const { operations, send } = await started(t)
  const file = operations.put('big', Buffer.alloc(0))
  const seen: { data: Buffer; done?: () => void }[] = []
  const all = Promise.withResolvers<void>()
  operations.write = async (_context, { data, done }) => {
    seen.push({ data, ...(done && { done }) })
    if (seen.length === 1) done?.()
    if (seen.length > 1 && seen.length < 6) seen[0]?.done?.()
    if (seen.length === 9) all.resolve()
    return data.length
  }
  for (const fill of 'abcdefghi') {
    const head = [u64(1n), u64(0n), u32(1 << 20), u32(0), u64(0n), u32(1), u32(0)]
    send(opcode.write, { nodeid: file.nodeid }, ...head, Buffer.alloc(1 << 20, fill))
  }
  await all.promise
  t.equal(
    seen
      .slice(1)
      .map(({ data }) => data.toString('latin1', 0, 1))
      .join(''),
    'bcdefghi',
  )
})

t.test('pages outlive a flood of names', async (t) => {
  const { device, notices } = await started(t)
  notices.invalidateNode(7, true)
  for (let index = 0; index < 100_002; index += 1) notices.invalidateEntry(1, `name-${index}`)
  await notices.settled()
  t.same(
    device.notices.map((notice) => notice.readInt32LE(4)),
    [2, 8],
  )
})
