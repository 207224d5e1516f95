/** Third-party copies with a real grid server, each side in either part. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ask, openDoor, store } from '../http/door.ts'
import { noXrootd, startXrootd, xrootdOutward } from '../peers/xrootd.ts'
import { copy, openCopier, outcomeOf } from './third-party-world.ts'

const large = Buffer.from(Uint8Array.from({ length: 20_000_000 }, (_, i) => (i * 7919) % 251))

t.test('we copy from and to XRootD', { skip: noXrootd() }, async (t) => {
  const xrootd = await startXrootd()
  t.teardown(() => xrootd.stop())
  const here = await openCopier(t)
  const there = (name: string) => new URL(name, xrootd.url).href

  t.test('pull: its checksum is verified', async (t) => {
    writeFileSync(join(xrootd.data, 'large'), large)
    t.equal(outcomeOf(await copy(here.port, '/data/pulled', { Source: there('large') })), 'success: Created')
    t.ok((await ask(here.port, 'GET', '/data/pulled', { as: 'alice' })).body.equals(large))
  })

  t.test('push: it tells the checksum of what it has got', async (t) => {
    await store(here.storage, '/data/large', large)
    t.equal(outcomeOf(await copy(here.port, '/data/large', { Destination: there('pushed') })), 'success: Created')
    t.ok(readFileSync(join(xrootd.data, 'pushed')).equals(large))
  })

  t.test('push: Overwrite: F leaves what is there', async (t) => {
    const answer = await copy(here.port, '/data/large', { Destination: there('large'), Overwrite: 'F' })
    t.equal(outcomeOf(answer), 'failure: the target exists')
  })

  t.test('what is missing is told', async (t) => {
    t.match(
      outcomeOf(await copy(here.port, '/data/none', { Source: there('none') })),
      /^failure: rejected GET: (404|500)/,
    )
    t.equal((await ask(here.port, 'GET', '/data/none', { as: 'alice' })).status, 404)
  })
})

t.test('XRootD copies from and to us', { skip: noXrootd() }, async (t) => {
  const here = await openDoor(t)
  const xrootd = await startXrootd({ thirdParty: { port: here.port } })
  t.teardown(() => xrootd.stop())
  await store(here.storage, '/data/large', large)
  const order = (path: string, headers: Record<string, string>) =>
    ask(Number(xrootd.url.port), 'COPY', path, {
      headers: { TransferHeaderAuthorization: 'Bearer alice', Credential: 'none', ...headers },
    })

  t.test('pull', async (t) => {
    const answer = await order('/pulled', { Source: `${xrootdOutward}/data/large` })
    t.match(answer.text, /success: Created/)
    t.ok(readFileSync(join(xrootd.data, 'pulled')).equals(large))
  })

  t.test('push', async (t) => {
    writeFileSync(join(xrootd.data, 'source'), large)
    const answer = await order('/source', { Destination: `${xrootdOutward}/data/sub` })
    t.match(answer.text, /success: Created/)
    t.ok((await ask(here.port, 'GET', '/data/sub', { as: 'alice' })).body.equals(large))
  })

  t.test('a pull without the right credential is a failure there', async (t) => {
    const headers = { TransferHeaderAuthorization: 'Bearer expired', Source: `${xrootdOutward}/data/large` }
    t.notMatch((await order('/refused', headers)).text, /success/)
  })
})
