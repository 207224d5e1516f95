/** ACLs through the REST interface, and what they do to the next request. */

import t from 'tap'
import { startTestGateway } from './harness.ts'
import type { Answer, Json } from './http.ts'
import { named, type UserName } from './people.ts'
import { makeLab, ownerOnly } from './tree.ts'

t.setTimeout(120_000)
const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/lab',
      make: (top) => {
        const tree = makeLab(top)
        for (let room = 1; room <= 7; room++) tree.directory(`room${room}`, 'alice', ownerOnly)
      },
    },
  ],
})

const url = (path: string) => `/.portolan/api/v1/acl?path=${encodeURIComponent(path)}`

function putAcl(user: UserName, path: string, acl: Json, etag?: string): Promise<Answer> {
  const headers = { 'Content-Type': 'application/json', ...(etag !== undefined && { 'If-Match': etag }) }
  return gateway.request({ method: 'PUT', path: url(path), user, body: JSON.stringify(acl), headers })
}

t.test('an entry added lets a user in, one taken away shuts him out', async (t) => {
  await gateway.put('/lab/room1/f', 'alice', 'shared')
  const before = await gateway.api('acl', { path: '/lab/room1/f' }, 'alice')
  t.equal(before.status, 200)
  const acl = before.json()
  t.equal(acl.owner, named('alice'))
  t.ok(
    acl.aces.some(({ type, who }: Json) => type === 'allow' && who === 'OWNER@'),
    'inherited from the directory',
  )

  const bob = { type: 'allow', who: `user:${named('bob')}`, rights: 'rt', flags: '' }
  const directory = (await gateway.api('acl', { path: '/lab/room1' }, 'alice')).json()
  const way = { type: 'allow', who: `user:${named('bob')}`, rights: 'x', flags: '' }
  t.equal((await putAcl('alice', '/lab/room1', { aces: [...directory.aces, way] })).status, 200)
  t.equal((await gateway.get('/lab/room1/f', 'bob')).status, 403, 'the way alone is not enough')
  const etag = before.headers.etag
  const changed = await putAcl('alice', '/lab/room1/f', { aces: [...acl.aces, bob] }, etag)
  t.equal(changed.status, 200)
  t.not(changed.headers.etag, etag, 'the entity tag of the ACL has changed')
  t.same((await gateway.get('/lab/room1/f', 'bob')).text, 'shared')
  t.equal((await gateway.put('/lab/room1/f', 'bob', 'mine')).status, 403, 'reading is not writing')

  t.equal((await putAcl('alice', '/lab/room1/f', { aces: acl.aces }, etag)).status, 412, 'the tag of before is stale')
  t.equal((await gateway.get('/lab/room1/f', 'bob')).status, 200, 'and nothing has changed')
  t.equal((await putAcl('alice', '/lab/room1/f', { aces: acl.aces }, changed.headers.etag)).status, 200)
  t.equal((await gateway.get('/lab/room1/f', 'bob')).status, 403)
})

t.test('the entity tag of the content does not change with the ACL', async (t) => {
  await gateway.put('/lab/room2/f', 'alice', 'x')
  const before = (await gateway.get('/lab/room2/f', 'alice')).headers.etag
  const { aces } = (await gateway.api('acl', { path: '/lab/room2/f' }, 'alice')).json()
  const audit = { type: 'allow', who: `user:${named('carol')}`, rights: 't', flags: '' }
  t.equal((await putAcl('alice', '/lab/room2/f', { aces: [...aces, audit] })).status, 200)
  t.equal((await gateway.get('/lab/room2/f', 'alice')).headers.etag, before)
})

t.test('heritable entries reach what is made afterwards', async (t) => {
  const { aces } = (await gateway.api('acl', { path: '/lab/room3' }, 'alice')).json()
  const heritable = { type: 'allow', who: `user:${named('bob')}`, rights: 'rxt', flags: 'fd' }
  await gateway.put('/lab/room3/before', 'alice', 'x')
  t.equal((await putAcl('alice', '/lab/room3', { aces: [...aces, heritable] })).status, 200)
  await gateway.put('/lab/room3/after', 'alice', 'x')
  t.equal((await gateway.get('/lab/room3/before', 'bob')).status, 403)
  t.equal((await gateway.get('/lab/room3/after', 'bob')).status, 200)
})

t.test('only who holds WRITE_ACL changes it, and no token with scopes', async (t) => {
  await gateway.put('/lab/p01/f', 'alice', 'x')
  await gateway.put('/lab/room4/f', 'alice', 'x')
  const { aces } = (await gateway.api('acl', { path: '/lab/room4/f' }, 'alice')).json()
  const all = { type: 'allow', who: 'EVERYONE@', rights: 'rwatTcC', flags: '' }
  t.equal((await putAcl('bob', '/lab/room4/f', { aces: [all] })).status, 403)
  t.equal(
    (await putAcl('admin', '/lab/room4/f', { aces: [all] })).status,
    403,
    'an administrator holds no right on data',
  )
  const token = await gateway.token('alice', { scope: 'storage.modify:/ storage.read:/' })
  const headers = { 'Content-Type': 'application/json' }
  const bound = await gateway.request({
    method: 'PUT',
    path: url('/lab/room4/f'),
    token,
    headers,
    body: JSON.stringify({ aces }),
  })
  t.equal(bound.status, 403)
  t.equal((await gateway.api('acl', { path: '/lab/room4/f' }, 'bob')).status, 403, 'nor reads it')
})

t.test('an ACL that makes no sense changes nothing', async (t) => {
  await gateway.put('/lab/room5/f', 'alice', 'x')
  const before = (await gateway.api('acl', { path: '/lab/room5/f' }, 'alice')).text
  const entry = { type: 'allow', who: 'OWNER@', rights: 'r', flags: '' }
  const bad: readonly Json[] = [
    {},
    { aces: {} },
    { aces: [{ ...entry, type: 'permit' }] },
    { aces: [{ ...entry, rights: 'rz' }] },
    { aces: [{ ...entry, who: 'nobody in particular' }] },
    { aces: [{ ...entry, extra: 1 }] },
    { aces: [entry], more: 1 },
    { aces: Array.from({ length: 1025 }, () => entry) },
  ]
  for (const acl of bad) {
    const { status } = await putAcl('alice', '/lab/room5/f', acl)
    t.ok(status === 400 || status === 413, `${JSON.stringify(acl).slice(0, 80)} gives ${status}`)
  }
  const text = await gateway.request({
    method: 'PUT',
    path: url('/lab/room5/f'),
    user: 'alice',
    body: '{',
    headers: { 'Content-Type': 'application/json' },
  })
  t.equal(text.status, 400)
  const typeless = await gateway.request({
    method: 'PUT',
    path: url('/lab/room5/f'),
    user: 'alice',
    body: '{}',
    headers: { 'Content-Type': 'application/xml' },
  })
  t.equal(typeless.status, 415)
  t.equal((await gateway.api('acl', { path: '/lab/room5/f' }, 'alice')).text, before)
})

t.test('an ACL is read and written in the text of nfs4_getfacl too', async (t) => {
  await gateway.put('/lab/room6/f', 'alice', 'x')
  const send = {
    method: 'PUT',
    path: url('/lab/room6/f'),
    user: 'alice',
    headers: { 'Content-Type': 'text/plain' },
  } as const
  const written = `A::OWNER@:rwatTnNcCy\nA::${named('carol')}:rtcy\n`
  t.equal((await gateway.request({ ...send, body: written })).status, 200)
  const read = await gateway.request({ path: url('/lab/room6/f'), user: 'alice', headers: { Accept: 'text/plain' } })
  t.equal(read.text, written)
})

t.test('rights are those of the ACL and the credential together', async (t) => {
  await gateway.put('/lab/room7/f', 'alice', 'x')
  const own = (await gateway.api('rights', { path: '/lab/room7/f' }, 'alice')).json()
  t.ok(
    ['read', 'replace', 'remove', 'write-acl'].every((action) => own.actions.includes(action)),
    own.actions.join(),
  )
  const token = await gateway.token('alice', { scope: 'storage.read:/lab/room7' })
  const bound = (await gateway.request({ path: '/.portolan/api/v1/rights?path=/lab/room7/f', token })).json()
  t.ok(bound.actions.includes('read'))
  t.notOk(
    bound.actions.some((action: string) => ['replace', 'remove', 'write-acl', 'create'].includes(action)),
    bound.actions.join(),
  )
})

t.test('replacing a file keeps its owner and ACL', async (t) => {
  await gateway.put('/lab/p01/kept', 'alice', 'by alice')
  const entry = { type: 'allow', who: `user:${named('bob')}`, rights: 'rt', flags: '' }
  const { aces } = (await gateway.api('acl', { path: '/lab/p01/kept' }, 'alice')).json()
  t.equal((await putAcl('alice', '/lab/p01/kept', { aces: [...aces, entry] })).status, 200)
  const before = (await gateway.api('acl', { path: '/lab/p01/kept' }, 'alice')).json()
  t.equal((await gateway.put('/lab/p01/kept', 'carol', 'by carol')).status, 204)
  t.same((await gateway.api('acl', { path: '/lab/p01/kept' }, 'alice')).json(), before)
  t.equal((await gateway.get('/lab/p01/kept', 'alice')).text, 'by carol')
})
