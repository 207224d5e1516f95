/** The scheme Negotiate on HTTP, with an identity that stands in for Kerberos. */

import { Agent, request } from 'node:http'
import t from 'tap'
import type { Credential, Identity, Negotiation } from '../../acl/identity/identity.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { ask, identity, openDoor, person, store } from './door.ts'

const sealed = `k1.mwrrnvnd-f61b5070035cc2c1.${'A'.repeat(60)}`

/** Lets alice in by the token "alice", once for each sending of it, and by the cookie. */
function fakeKerberos(): Identity & { readonly shown: string[] } {
  const shown: string[] = []
  const kerberos: Negotiation = {
    async accept(token, from) {
      shown.push(`${token} ${from}`)
      if (token.toString() !== 'alice') {
        throw new StorageError('unauthenticated', 'refused', { reason: { rule: 'kerberos-ticket', text: 'refused' } })
      }
      const cookie = { secret: new Secret(sealed), expires: Date.now() + 300_000 }
      return { principal: person('alice'), answer: Buffer.from('it is us'), cookie }
    },
  }
  return {
    ...identity,
    kerberos,
    shown,
    async authenticate(credential: Credential) {
      if (credential.kind !== 'ticket') return identity.authenticate(credential)
      if (credential.secret.reveal() === sealed) return person('alice')
      throw new StorageError('unauthenticated', 'refused', { reason: { rule: 'kerberos-cookie', text: 'refused' } })
    },
  }
}

const negotiate = (text: string) => ({ authorization: `Negotiate ${Buffer.from(text).toString('base64')}` })
const mount = { anonymous: false }

t.test('the answer and the cookie go with any response, the challenge only where nobody is known', async (t) => {
  const { port, storage } = await openDoor(t, { identity: fakeKerberos(), mount, publicUrl: 'https://gw.example.org' })
  await store(storage, '/data/x', 'hello')
  for (const path of ['/data/x', '/data/missing', '/.portolan/api/v1/whoami']) {
    const answer = await ask(port, 'GET', path, { headers: { ...negotiate('alice'), host: 'gw.example.org' } })
    t.equal(answer.headers['www-authenticate'], `Negotiate ${Buffer.from('it is us').toString('base64')}`, path)
    const [cookie = ''] = answer.headers['set-cookie'] ?? []
    t.match(
      cookie,
      /^__Host-portolan-ticket=k1\.[^;]+; Path=\/; Max-Age=(?:299|300); HttpOnly; SameSite=Strict; Secure$/,
    )
  }
  const refused = await ask(port, 'GET', '/data/x', { headers: { ...negotiate('bob'), host: 'gw.example.org' } })
  t.equal(refused.status, 401)
  t.equal(refused.headers['www-authenticate'], 'Bearer realm="portolan", Negotiate')
  t.equal(refused.headers['set-cookie'], undefined)
})

t.test('where no tickets are accepted nothing is said of them', async (t) => {
  const { port, audit } = await openDoor(t, { mount })
  t.notMatch((await ask(port, 'GET', '/data/x')).headers['www-authenticate'], /Negotiate/)
  const answer = await ask(port, 'GET', '/data/x', { headers: negotiate('alice') })
  t.equal(answer.status, 401)
  t.match(audit.records.at(-1), { reason: { rule: 'unknown-scheme' } })
  const cookie = `portolan-ticket=${sealed}`
  t.equal((await ask(port, 'GET', '/data/x', { headers: { cookie } })).status, 401)
})

t.test('a ticket counts for its request alone, and the cookie for whoever sends it', async (t) => {
  const fake = fakeKerberos()
  const { port, storage } = await openDoor(t, { identity: fake, mount })
  await store(storage, '/data/x', 'hello')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const next = async (headers: Record<string, string>) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const call = request({ host: '127.0.0.1', port, path: '/data/x', agent, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0))
    })
    call.on('error', reject).end()
    return promise
  }
  t.equal(await next(negotiate('alice')), 200)
  t.equal(await next({}), 401)
  t.equal(await next(negotiate('alice')), 200)
  t.same(fake.shown, ['alice 127.0.0.1', 'alice 127.0.0.1'], 'each is looked at')
  t.equal(await next({ cookie: `portolan-ticket=${sealed}` }), 200)
  t.equal(await next({ cookie: `portolan-ticket=${sealed}x` }), 401)
  t.equal(
    await next({ cookie: `portolan-ticket=${sealed}`, ...negotiate('bob') }),
    401,
    'who shows a ticket is known by it',
  )
})

t.test('a ticket is not taken where it could be read on the way', async (t) => {
  const fake = fakeKerberos()
  const trusted = { trustedProxies: ['127.0.0.1'] }
  const { port } = await openDoor(t, { identity: fake, mount, ...trusted })
  const headers = { ...negotiate('alice'), 'x-forwarded-proto': 'http' }
  t.equal((await ask(port, 'GET', '/data/x', { headers })).status, 403)
  t.same(fake.shown, [])
  const open = await ask(port, 'GET', '/data/x', { headers: { 'x-forwarded-proto': 'http' } })
  t.notMatch(open.headers['www-authenticate'], /Negotiate/, 'and is not asked for')
})
