/** Server-sent events (HTML Living Standard, section 9.2): bytes to events. */

import { StringDecoder } from 'node:string_decoder'

export interface ServerEvent {
  /** `message` where the server names none. */
  readonly type: string
  readonly data: string
  /** The last id that the server gave, with this event or before. */
  readonly id: string | undefined
}

/** Longest line and longest data of an event, in characters. */
const longest = 64 * 1024

/** Yields events as they come; one that the stream ends in is left out. Throws a RangeError for what is too long. */
export async function* eventsOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let type = ''
  let data: string[] = []
  let size = 0
  let id: string | undefined
  for await (const line of linesOf(bytes)) {
    if (line === '') {
      if (data.length > 0) yield { type: type === '' ? 'message' : type, data: data.join('\n'), id }
      type = ''
      data = []
      size = 0
      continue
    }
    const [field, value] = split(line)
    if (field === 'event') type = value
    else if (field === 'id' && !value.includes('\0')) id = value
    else if (field === 'data') {
      data.push(value)
      size += value.length + 1
      if (size > longest) throw new RangeError('a long event')
    }
  }
}

/** Lines end in CR, LF or both. */
async function* linesOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  let isAfterReturn = false
  for await (const chunk of bytes) {
    const text = decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    if (text === '') continue
    // The other half of a line end that has counted already.
    const lines = `${rest}${isAfterReturn && text.startsWith('\n') ? text.slice(1) : text}`.split(/\r\n|\r|\n/)
    isAfterReturn = text.endsWith('\r')
    rest = lines.pop() ?? ''
    yield* lines
    if (rest.length > longest) throw new RangeError('a long line')
  }
}

/** A line that begins with a colon is a comment: a field without a name. */
function split(line: string): readonly [string, string] {
  const colon = line.indexOf(':')
  if (colon < 0) return [line, '']
  const start = line[colon + 1] === ' ' ? colon + 2 : colon + 1
  return [line.slice(0, colon), line.slice(start)]
}
