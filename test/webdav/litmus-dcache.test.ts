/** litmus on a mount where dCache decides, by the token of the caller, which litmus itself cannot send. */

import { readFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { pipeline } from 'node:stream/promises'
import t, { type Test } from 'tap'
import { startDcache } from '../doubles/dcache/dcache.ts'
import { audience, issuerUrl, startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { users } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'
import { litmus, noLitmus, suites } from '../peers/litmus.ts'

t.setTimeout(300_000)

/** Puts alice's token into each request. Its origin. */
async function withToken(t: Test, gateway: TestGateway): Promise<string> {
  const token = await gateway.token('alice')
  const server = createServer((asked, answer) => {
    const { url, method, headers } = asked
    // As it was written: litmus sends fragments too.
    const sent = request(gateway.url, {
      ...{ method, path: url },
      headers: { ...headers, authorization: `Bearer ${token}` },
    })
    sent.on('response', (given) => {
      answer.writeHead(given.statusCode ?? 502, given.rawHeaders)
      pipeline(given, answer).catch(() => answer.destroy())
    })
    sent.on('continue', () => answer.writeContinue())
    pipeline(asked, sent).catch(() => answer.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('the proxy has no port')
  return `http://127.0.0.1:${address.port}`
}

t.test('litmus has nothing to complain about where dCache decides', { skip: noLitmus() }, async (t) => {
  const gateway = await startTestGateway(t, { mounts: [{ path: '/lab', make: (top) => void makeLab(top) }] })
  const { uid, gid } = users.alice
  const dcache = await startDcache({
    users: [{ name: 'alice', uid, gids: [gid], subjects: { lab: 'alice' } }],
    providers: [
      {
        ...{ name: 'lab', issuer: issuerUrl, audiences: [audience], profile: 'oidc' },
        jwks: JSON.parse(readFileSync(gateway.issuer.jwksFile, 'utf8')),
      },
    ],
    seed: [{ path: '/lab/alice', directory: true, owner: 'alice', mode: 0o700 }],
  })
  t.teardown(() => dcache.close())
  gateway.configure((config) => {
    config.mounts.push({
      path: '/dcache',
      backend: {
        ...{ type: 'dcache', webdav: dcache.webdav.href, frontend: dcache.frontend.href, root: '/lab' },
        ...{ pools: ['localhost'], insecurePools: true },
        accepts: [{ issuer: 'lab-issuer', audiences: [audience] }],
      },
    })
  })
  await gateway.reload()
  const { summaries, complaints } = await litmus(`${await withToken(t, gateway)}/dcache/alice/`)
  t.equal(summaries.length, suites.length, summaries.join('; '))
  t.same(complaints, [])
})
