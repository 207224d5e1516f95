/** Credentials that an administrator has in hand: what each is called, and how each of them came to its user. */

import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { bearer, macaroonWorld } from './macaroon-world.ts'
import { issuerI, refusal } from './setting.ts'

t.test('each credential has the name that a ban of it takes, and what has none says so', async (t) => {
  const world = await macaroonWorld(t)
  const { service, token, clock } = world
  const { service: other } = await world.another()
  const { bans, macaroons, shares, s3 } = service
  if (!bans || !macaroons || !shares || !s3) throw new Error('no state store')
  const alice = await service.authenticate(bearer(token({ sub: 'sub-alice', jti: 'j-alice' })))
  const name = (text: string) => bans.nameOf(new Secret(text))
  t.same(await name(token({ jti: 'a|b' })), { name: `token:${issuerI}|a|b`, until: undefined })
  const expired = token({ jti: 'old', exp: clock.now() / 1000 - 9 })
  t.match(await name(expired), { name: `token:${issuerI}|old` }, 'what was made with it may be good still')
  const session = await s3.assume(alice, { duration: 3600 })
  t.same(await name(session.sessionToken.reveal()), { name: `s3-key:${session.accessKeyId}`, until: session.expires })
  const macaroon = await macaroons.issue(alice, { path: parsePath('/vo'), caveats: [] })
  t.same(await name(macaroon.macaroon.reveal()), { name: `macaroon:${macaroon.id}`, until: macaroon.expires })
  const share = await shares.create(alice, { path: parsePath('/vo'), activities: ['LIST'], networks: [] })
  t.match(await name(share.macaroon.reveal()), { name: `macaroon:${share.id}` })
  const [head = '', , tail = ''] = token({ jti: 'x' }).split('.')
  const payload = (claims: object) => `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${tail}`
  const nameless = [
    token({ jti: undefined }),
    token({ jti: `j\n` }),
    payload({ iss: 'https://evil.example', jti: 'x' }),
    payload({ iss: issuerI, jti: 'x'.repeat(300) }),
    payload({ iss: [issuerI], jti: 'x' }),
    session.sessionToken.reveal().slice(0, -4),
    `${macaroon.macaroon.reveal()}AAAA`,
    'pw-aaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'x'.repeat(200_000),
    '',
  ]
  for (const text of nameless) {
    const error = await name(text).catch((thrown: unknown) => StorageError.from(thrown))
    t.match(error, { code: 'invalid' }, text.slice(0, 20))
    if (error instanceof Error && text !== '') t.notOk(error.message.includes(text))
  }
  const named = await name(session.sessionToken.reveal())
  await bans.add(alice, { ...named, note: '' })
  t.equal(
    await s3.key(session.accessKeyId, session.sessionToken.reveal()).catch((error: unknown) => refusal(error)),
    'denied revoked',
  )
  t.same(
    (await other.bans?.list())?.bans.map((ban) => ban.name),
    [named.name],
    'in every process',
  )
})

t.test('each way of coming in is told in steps, without its secret', async (t) => {
  const { service, token } = await macaroonWorld(t)
  const { macaroons, shares, s3 } = service
  if (!macaroons || !shares || !s3) throw new Error('no state store')
  const alice = await service.authenticate(bearer(token({ sub: 'sub-alice', 'wlcg.groups': ['/cms'] })))
  const told = async (principal: typeof alice) => {
    const steps = (await service.explainCredential?.(principal)) ?? []
    t.ok(
      steps.every(({ passed }) => passed),
      JSON.stringify(steps),
    )
    return steps.map(({ step, text }) => `${step}: ${text}`)
  }
  const macaroon = await macaroons.issue(alice, {
    path: parsePath('/vo'),
    caveats: ['activity:LIST', 'ip:192.0.2.0/24'],
  })
  const narrow = await service.authenticate(bearer(macaroon.macaroon.reveal()))
  t.match(await told(narrow), [
    /^credential: a macaroon$/,
    /^macaroon: macaroon [\w-]{16} of https:\/\/vo\.example\.org\|sub-alice$/,
    /^account: account alice of source 1 \(file\)/,
    /^groups: p01@desy\.de \(of the account\), cms@desy\.de \(joined by a mapping rule\), \/cms@vo \(of its issuer\)$/,
    /^administrator: no entry/,
    /^bounds: may list "\/vo"/,
    /^bounds: from 192\.0\.2\.0\/24 only$/,
    /^expires: 20/,
  ])
  t.notMatch((await told(narrow)).join(), macaroon.macaroon.reveal().slice(20, 60))
  const share = await shares.create(alice, { path: parsePath('/vo'), activities: ['LIST'], networks: [] })
  const guest = await told(await service.authenticate(bearer(share.macaroon.reveal())))
  t.match(guest, [
    /^credential: a share link of alice@desy\.de$/,
    /^administrator: no/,
    /^bounds: may list/,
    /^expires/,
  ])
  t.notMatch(guest.join(), /p01|cms|uid/, 'groups and numbers of its maker are nothing to whoever opens it')
  const { id } = await s3.create(alice, { name: 'job', networks: [], path: parsePath('/vo') })
  const key = await s3.key(id, undefined)
  if (!key) throw new Error('no key')
  t.match((await told(key.principal))[0], `credential: access key ${id} of ${issuerI}|sub-alice`)
  const session = await s3.assume(alice, { duration: 3600 })
  const temporary = await s3.key(session.accessKeyId, session.sessionToken.reveal())
  if (!temporary) throw new Error('no key')
  t.match(await told(temporary.principal), [
    `credential: access key ${session.accessKeyId} of`,
    /^account: account alice/,
  ])
  const other = await service.principalOf('alice')
  if (!other) throw new Error('no alice')
  t.match((await told(other))[0], 'credential: none: asked about as an account')
})
