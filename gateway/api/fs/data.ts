/** GET and PUT data: bytes of files, with as little around them as can be. */

import type { OpenFile, Range } from '../../../backends/backend.ts'
import { StorageError } from '../../core/errors.ts'
import { HttpError } from '../../http/errors.ts'
import type { Exchange } from '../../http/exchange.ts'
import { parseQuery } from '../../http/query.ts'
import { sendSpan } from '../../http/send.ts'
import type { JsonAttributes } from './attributes.ts'
import { withBody } from './body.ts'
import { pieceBytes, returnBuffer, takeBuffer } from './buffers.ts'
import type { Asked } from './context.ts'
import { attributesOfOpen, entryOf, type Handle, requireReadable } from './handles.ts'
import { largest } from './limits.ts'

const names = ['handle', 'offset', 'length', 'attributes'] as const
/** At a range of a file that becomes shorter. */
const attempts = 3

type Query = Readonly<Partial<Record<(typeof names)[number], string>>>

/** Throws `invalid`. */
export function dataQuery({ query }: Exchange): Query {
  return parseQuery(query, names)
}

/** GET data?handle=…: fewer bytes than asked for are the end of the file. */
export async function getData({ session, x, context }: Asked, query: Query): Promise<void> {
  const { handle: id, offset, length } = query
  if (id === undefined || query.attributes !== undefined) throw unclear()
  const start = whole(offset, 'offset')
  const end = start + bounded(length)
  const handle = session.handle(id)
  const file = requireReadable(handle)
  const { worker } = context.sessions
  await handle.use(async () => {
    if (end - start <= pieceBytes) return sendPiece(x, worker, file, { start, end })
    for (let left = attempts - 1; ; left--) {
      const range = { start, end: Math.min(end, await sizeFor(handle, end)) }
      if (range.end - range.start <= pieceBytes) return sendPiece(x, worker, file, range)
      try {
        return await sendLong(x, worker, file, range)
      } catch (error) {
        // Somebody may have made it shorter: what is known of its size is not true any more.
        handle.size = 0
        // The end of a file is no error, as long as it can be said.
        if (left === 0 || x.response.headersSent || StorageError.from(error).code !== 'stale') throw error
      }
    }
  })
}

/** PUT data?handle=…: answered when the storage has all of the bytes; where that is asked for, with attributes as they are then. */
export async function putData({ session, x, context }: Asked, query: Query): Promise<void> {
  const { handle: id, offset, length } = query
  if (id === undefined || length !== undefined) throw unclear()
  const isTold = flag(query.attributes)
  const start = whole(offset, 'offset')
  const handle = session.handle(id)
  const { content } = handle
  if (content.kind === 'read') throw new StorageError('invalid', 'the file is open for reading')
  const name = x.request.headers['portolan-request']
  let room: Buffer | undefined
  const roomFor = (length: number) => {
    room = takeBuffer(length)
    return room
  }
  const put = async (bytes: Buffer): Promise<Told> => {
    const write = async (): Promise<Told> => {
      await handle.inOrder({ start, end: start + bytes.length }, async () => {
        if (typeof name !== 'string' && x.connection.signal.aborted)
          throw new StorageError('cancelled', 'the sender went away')
        await content.file.write(bytes, start)
      })
      handle.size = Math.max(handle.size, start + bytes.length)
      return { attributes: isTold ? await seen(handle, x) : undefined }
    }
    // The bytes of a draft follow each other, so they must not come twice.
    const told: Told =
      typeof name === 'string' ? await session.replies.once(name, `data ${id} ${start}`, bytes, write) : await write()
    if (room) returnBuffer(room)
    return told
  }
  const { attributes } = await handle.use(() => withBody(x, largest.write, roomFor, put))
  const { worker } = context.sessions
  if (attributes) return sendAttributes(x, worker, attributes)
  x.response.writeHead(204, ['Portolan-Worker', worker, 'X-Request-Id', x.id])
  x.response.end()
}

interface Told {
  readonly attributes?: JsonAttributes | undefined
}

/** Undefined where they are not to be had: the bytes are written all the same. */
async function seen(handle: Handle, { principal }: Exchange): Promise<JsonAttributes | undefined> {
  try {
    return attributesOfOpen(handle, await entryOf(handle), principal)
  } catch {
    // Whoever asks by `fstat` is told why.
    return undefined
  }
}

function sendAttributes(x: Exchange, worker: string, attributes: JsonAttributes): void {
  const text = JSON.stringify(attributes)
  x.response.writeHead(200, headOf(x, worker, Buffer.byteLength(text), 'application/json'))
  x.response.end(text)
}

/** The size as far as it matters for a range that ends there. */
async function sizeFor(handle: Handle, end: number): Promise<number> {
  if (handle.size < end) handle.size = (await entryOf(handle)).size
  return handle.size
}

async function sendPiece(x: Exchange, worker: string, file: OpenFile, range: Range): Promise<void> {
  const { start, end } = range
  if (end <= start) return sendBytes(x, worker, Buffer.alloc(0))
  const piece = takeBuffer(end - start)
  const bytes = await file.read(piece, start)
  sendBytes(x, worker, bytes === piece.length ? piece : piece.subarray(0, bytes), () => returnBuffer(piece))
}

function sendBytes(x: Exchange, worker: string, bytes: Uint8Array, sent?: () => void): void {
  x.response.writeHead(200, headOf(x, worker, bytes.length))
  x.response.end(bytes, sent)
}

async function sendLong(x: Exchange, worker: string, file: OpenFile, range: Range): Promise<void> {
  const head = headOf(x, worker, range.end - range.start)
  await sendSpan(
    x,
    { content: undefined, stream: (piece, until) => file.stream(piece, until) },
    range,
    { status: 200, head },
    { bytes: 0 },
  )
  x.response.end()
}

function headOf(x: Exchange, worker: string, length: number, media = 'application/octet-stream'): string[] {
  const type = ['Content-Type', media, 'Content-Length', String(length), 'Cache-Control', 'no-store']
  return [...type, 'Portolan-Worker', worker, 'X-Request-Id', x.id]
}

function bounded(length: string | undefined): number {
  const bytes = whole(length, 'length')
  if (bytes > largest.read) throw new StorageError('too-large', `at most ${largest.read} bytes are read at once`)
  return bytes
}

/** Throws `invalid`; a sum of two of them is exact. */
function whole(text: string | undefined, name: string): number {
  const value = text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!(value <= Number.MAX_SAFE_INTEGER - largest.read)) {
    throw new StorageError('invalid', `${name} is a whole number below 2^53`)
  }
  return value
}

/** Throws `invalid` for anything but `1`. */
function flag(text: string | undefined): boolean {
  if (text !== undefined && text !== '1') throw unclear()
  return text === '1'
}

function unclear(): StorageError {
  return new HttpError(400, 'invalid', 'data takes handle, offset and, to read, length, or, to write, attributes=1')
}
