/** What bounds a caller of S3 as one of any other door: time, connections, revocation. */

import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { sign } from './signing.ts'
import { keyOf, openS3, type S3WorldOptions } from './world.ts'

/** Sends the head of an upload and a part of its body; gives what is answered until the connection ends. */
async function half(port: number, { begun }: { readonly begun?: () => void } = {}): Promise<string> {
  const headers = { host: `127.0.0.1:${port}`, 'content-length': '1000', expect: '100-continue' }
  const signed = sign({ method: 'PUT', target: '/data/x', headers, payload: 'UNSIGNED-PAYLOAD', key: keyOf('alice') })
  const fields = Object.entries(signed.headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`PUT /data/x HTTP/1.1\r\n${fields.join('')}\r\n`)
  await once(socket, 'readable')
  begun?.()
  socket.write('some of it')
  return text(socket).catch(() => 'cut')
}

const cases: ReadonlyArray<readonly [string, S3WorldOptions, RegExp]> = [
  [
    'a sender that stops is told so',
    { limits: { stallTimeout: 300 } },
    /100 Continue.*400 Bad Request.*<Code>RequestTimeout</s,
  ],
  [
    'what was begun before a ban is cut',
    { identity: { isRevoked: () => true } },
    /^(cut|HTTP\/1.1 100 Continue\r\n\r\n)$/,
  ],
]

for (const [name, options, expected] of cases) {
  t.test(name, async (t) => {
    const world = await openS3(t, options)
    t.match(await half(world.port), expected)
    t.equal((await world.raw({ target: '/data/x', as: 'alice' })).code, 'NoSuchKey')
  })
}

t.test('a principal has so many connections', async (t) => {
  const world = await openS3(t, { limits: { connectionsPerPrincipal: 1, stallTimeout: 500 } })
  const begun = Promise.withResolvers<void>()
  const first = half(world.port, { begun: begun.resolve })
  await begun.promise
  const refused = { status: 503, code: 'SlowDown', headers: { 'retry-after': '1' } }
  t.match(await world.raw({ target: '/data/none', as: 'alice' }), refused)
  t.equal((await world.raw({ target: '/open/none', as: 'bob' })).code, 'NoSuchKey')
  await first
})
