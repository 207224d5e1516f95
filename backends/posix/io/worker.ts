/**
 * One I/O thread: takes batches of requests, runs each under its caller's identity and answers in batches.
 * All it calls is synchronous: an asynchronous call would run on another thread, under another identity.
 */

import { parentPort, workerData } from 'node:worker_threads'
import { StorageError } from '../../../gateway/core/errors.ts'
import { IdentityFault, IdentitySwitch } from '../native/identity.ts'
import { toFailure } from './failure.ts'
import type { FromThread, Operation, Operations, Reply, Request, RunAs, ThreadData, ToThread } from './protocol.ts'
import { board, slotState } from './protocol.ts'

if (!parentPort) throw new Error('not an I/O thread')
const port = parentPort
const data = workerData as ThreadData
const words = new Int32Array(data.board)

/**
 * ms after which answers are sent though the batch goes on. A message of its own for each costs more than most
 * operations; the price is that answers of the last moment share the fate of a call that hangs behind them.
 */
const together = 0.1

const replies: Reply[] = []
const revoked: number[] = []
/** When the work on what is in `replies` began. */
let since = 0

let identity: IdentitySwitch | undefined
let operations: Operations

try {
  identity = startIdentity()
  operations = await load()
  port.on('message', receive)
  send({ type: 'ready' })
} catch (error) {
  send({ type: 'unfit', failure: toFailure(error) })
}

function startIdentity(): IdentitySwitch | undefined {
  if (!data.identity) return undefined
  const made = new IdentitySwitch(data.identity.minUid)
  made.selfTest()
  return made
}

async function load(): Promise<Operations> {
  const module = data.operationsModule ?? new URL(sibling('operations'), import.meta.url).href
  const { createOperations } = (await import(module)) as {
    createOperations: (setup: unknown, step?: undefined, library?: unknown) => Operations
  }
  const { aclModule } = data.posix
  if (aclModule === undefined) return createOperations(data.posix)
  const { createAclSource } = (await import(aclModule)) as { createAclSource: () => unknown }
  return createOperations(data.posix, undefined, createAclSource())
}

/** Run from source the modules are .ts; built, they are .js. */
function sibling(name: string): string {
  return `../${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`
}

function receive(message: ToThread): void {
  if (message.type === 'run') {
    since = performance.now()
    for (const request of message.requests) perform(request)
    flush()
  } else if (message.type === 'dispose') {
    operations.dispose(message.result)
  } else {
    process.exit(0)
  }
}

function perform(request: Request): void {
  const word = board.slots + request.slot
  if (Atomics.compareExchange(words, word, slotState.waiting, slotState.begun) !== slotState.waiting) {
    revoked.push(request.slot)
    return
  }
  Atomics.add(words, board.begun, 1)
  replies.push(run(request))
  if (performance.now() - since > together) flush()
}

function run({ slot, operation, args, ids }: Request): Reply {
  try {
    assume(ids)
    const act: Operation | undefined = operations[operation]
    if (!act) throw new Error(`no operation ${operation}`)
    return { slot, result: act(args as never, ids) }
  } catch (error) {
    if (error instanceof IdentityFault) end(error)
    return { slot, failure: toFailure(error) }
  }
}

function assume(ids: RunAs): void {
  if (!identity) return
  if (ids) {
    identity.become(ids)
    return
  }
  const reason = { rule: 'posix-ids', text: 'the caller has no numeric ids' }
  throw new StorageError('denied', 'this account may not act here', { reason })
}

/**
 * Nothing may run on this thread any more. The main thread fails what was under way and starts another one. What was
 * finished before was done under the right identity, and is answered.
 */
function end(fault: IdentityFault): never {
  flush()
  send({ type: 'unfit', failure: toFailure(fault) })
  process.exit(1)
}

function flush(): void {
  if (replies.length === 0 && revoked.length === 0) return
  const now = performance.now()
  port.postMessage({ type: 'replies', replies, revoked, spent: now - since } satisfies FromThread, contents())
  since = now
  replies.length = 0
  revoked.length = 0
}

/** Bytes that came along are handed over, not copied. */
function contents(): ArrayBuffer[] {
  const found: ArrayBuffer[] = []
  for (const { result } of replies) {
    if (typeof result !== 'object' || result === null || !('content' in result)) continue
    const { content } = result
    if (content instanceof Uint8Array && content.buffer instanceof ArrayBuffer) found.push(content.buffer)
  }
  return found
}

function send(message: FromThread): void {
  port.postMessage(message)
}
