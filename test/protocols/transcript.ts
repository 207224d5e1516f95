/**
 * Transcripts of what clients send and what they must be answered.
 *
 * A file is a series of exchanges. Lines with `>` are the request: method and target, header fields, an empty line and
 * the body. Lines with `<` are what is expected: the status, header fields as regular expressions, and after `~`
 * expressions that the body matches, after `!` those that it does not. Named groups become variables: `${name}` in
 * what follows. `#` begins a remark.
 */

import { Readable } from 'node:stream'
import type { Test } from 'tap'
import type { Answer, Sent } from '../gateway/http.ts'

export interface Exchange {
  readonly request: readonly string[]
  readonly expected: readonly string[]
}

export function parseTranscript(text: string): readonly Exchange[] {
  const found: { request: string[]; expected: string[] }[] = []
  for (const line of text.split('\n')) {
    const content = line.slice(2)
    const last = found.at(-1)
    if (line.startsWith('>')) {
      if (last && last.expected.length === 0) last.request.push(content)
      else found.push({ request: [content], expected: [] })
    } else if (line.startsWith('<')) {
      if (!last) throw new Error('an answer without a request')
      last.expected.push(content)
    } else if (line.trim() !== '' && !line.startsWith('#')) {
      throw new Error(`not a line of a transcript: ${line}`)
    }
  }
  return found
}

/** Plays one against whatever `send` talks to. */
export async function playTranscript(
  t: Test,
  exchanges: readonly Exchange[],
  variables: Readonly<Record<string, string>>,
  send: (sent: Sent) => Promise<Answer>,
): Promise<void> {
  const known = new Map(Object.entries(variables))
  const filled = (text: string) => text.replace(/\$\{(\w+)\}/g, (_, name) => known.get(name) ?? `{${name}?}`)
  for (const { request, expected } of exchanges) {
    const [first = '', ...rest] = request.map(filled)
    const [method = '', path = ''] = first.split(' ')
    const end = rest.indexOf('')
    const fields = end < 0 ? rest : rest.slice(0, end)
    const body = end < 0 ? undefined : rest.slice(end + 1).join('\n')
    const headers = Object.fromEntries(fields.map((field) => splitField(field)))
    const isChunked = 'Transfer-Encoding' in headers
    const sent = body !== undefined && { body: isChunked ? Readable.from([Buffer.from(body)]) : body }
    const answer = await send({ method, path, headers, ...sent })
    for (const wanted of expected.map(filled)) check(t, `${first}: ${wanted}`, wanted, answer, known)
  }
}

function splitField(field: string): readonly [string, string] {
  const colon = field.indexOf(':')
  return [field.slice(0, colon), field.slice(colon + 1).trim()]
}

function check(t: Test, name: string, wanted: string, answer: Answer, known: Map<string, string>): void {
  if (/^\d{3}$/.test(wanted)) return void t.equal(String(answer.status), wanted, name)
  if (wanted.startsWith('! ')) return void t.notMatch(answer.text, new RegExp(wanted.slice(2), 's'), name)
  const [field, pattern] = wanted.startsWith('~ ') ? [undefined, wanted.slice(2)] : splitField(wanted)
  const said = field === undefined ? answer.text : String(answer.headers[field.toLowerCase()] ?? '')
  const match = new RegExp(pattern, 's').exec(said)
  t.ok(match, name, { said })
  for (const [key, value] of Object.entries(match?.groups ?? {})) known.set(key, value)
}
