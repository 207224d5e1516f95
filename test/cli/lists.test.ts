/** Lists of others' things, as commands read them from a gateway that means ill, or while things change. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { readParts } from '../../mounts/client/lists.ts'
import { resident } from './resident.ts'

const portolan = resident(t)

/** A server that answers what `answers` says, status and body; in JSON. */
async function impostor(t: Test, answers: (line: string) => readonly [number, unknown]) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const line = `${request.method} ${request.url?.replace('/.portolan/api/v1', '')}`
    asked.push(line)
    const [status, body] = answers(line)
    const type = status < 300 ? 'application/json' : 'application/problem+json'
    response.writeHead(status, { 'Content-Type': type }).end(status === 204 ? undefined : JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close().closeAllConnections())
  const env = { PORTOLAN_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, BEARER_TOKEN: 'admin' }
  return { asked, run: (...words: string[]) => portolan(words, { env }) }
}

t.test('a list that has no end is given up, also when nothing is in it', async (t) => {
  let parts = 0
  const empty = async () => ({ bans: [], next: `${parts++}` })
  await t.rejects(
    readParts('bans', {}, empty, () => 1),
    { code: 'too-large' },
  )
  t.equal(parts, 1000)
  const full = async () => ({ bans: Array.from({ length: 60_000 }, () => 1), next: `${parts++}` })
  await t.rejects(
    readParts('bans', {}, full, () => 1),
    { code: 'too-large' },
  )
  t.equal(parts, 1002)
})

t.test('a session that ended by itself keeps no other from being ended', async (t) => {
  const times = { created: '2030', used: '2030', expires: '2030' }
  const sessions = ['one', 'two', 'three'].map((id) => ({ id, user: 'u', agent: 'a', from: 'f', ...times }))
  const { run, asked } = await impostor(t, (line) => {
    if (line.startsWith('GET')) return [200, { sessions }]
    return line.endsWith('/one') ? [404, { title: 'no', code: 'not-found' }] : [204, undefined]
  })
  const { code, stderr } = await run('session', 'end', '--user', 'alice@example.org')
  t.equal(code, 0, stderr)
  t.same(asked.slice(1), ['DELETE /sessions/one', 'DELETE /sessions/two', 'DELETE /sessions/three'])
  t.equal((await run('session', 'end', 'one')).code, 1, 'one that was named')
})

t.test('nothing in a list of bans is obeyed by the terminal', async (t) => {
  const evil = '\x1b]0;owned\x07'
  const { run } = await impostor(t, () => [200, { bans: [{ name: evil, by: evil, note: evil, until: evil }] }])
  t.notMatch((await run('ban', 'list')).stdout, /[\x07\x1b]/)
  t.notMatch((await run('ban', 'list', '--json')).stdout, /[\x07\x1b]/)
})
