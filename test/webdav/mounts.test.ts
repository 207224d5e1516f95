/** WebDAV over mounts of both grades: what each of them tells, and what goes from one to the other. */

import t from 'tap'
import { noNative, startTestGateway } from '../gateway/harness.ts'
import { makeLab, Owned } from '../gateway/tree.ts'
import { propfindFor, responsesOf } from './door.ts'

t.setTimeout(120_000)

t.test('between mounts of both grades', { skip: noNative }, async (t) => {
  const gateway = await startTestGateway(t, {
    mounts: [
      { path: '/lab', make: (top) => void makeLab(top) },
      {
        path: '/own',
        enforce: 'native',
        make: (top) => {
          const tree = new Owned(top)
          tree.directory('alice', 'alice', 0o700)
          tree.directory('shared', 'alice', 0o755)
        },
      },
    ],
  })
  const ask = (method: string, path: string, headers = {}, body = '') =>
    gateway.request({ method, path, user: 'alice', headers, ...(body && { body }) })
  const property = '<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">1</x></prop></set></propertyupdate>'

  for (const path of ['/lab/alice/d', '/lab/alice/d/e', '/own/alice/f']) t.equal((await ask('MKCOL', path)).status, 201)
  for (const path of ['/lab/alice/d/a', '/lab/alice/d/e/b', '/own/alice/f/old']) await gateway.put(path, 'alice', path)
  t.equal((await ask('PROPPATCH', '/lab/alice/d/a', {}, property)).status, 207)

  t.equal((await ask('MOVE', '/lab/alice/d', { Destination: '/own/alice/f', Overwrite: 'F' })).status, 412)
  t.equal((await ask('MOVE', '/lab/alice/d', { Destination: '/own/alice/f' })).status, 204)
  t.equal((await ask('GET', '/lab/alice/d/a')).status, 404)
  t.equal((await ask('GET', '/own/alice/f/old')).status, 404, 'nothing is merged')
  t.equal((await ask('GET', '/own/alice/f/e/b')).text, '/lab/alice/d/e/b')
  const moved = await ask('PROPFIND', '/own/alice/f/a', { Depth: '0' }, propfindFor('<x xmlns="urn:x"/>'))
  t.match(responsesOf(moved).get('/own/alice/f/a')?.get(200), '>1<', 'with its properties')
  t.equal((await ask('COPY', '/own/alice/f/', { Destination: '/lab/alice/g/' })).status, 201)
  t.equal((await ask('GET', '/lab/alice/g/e/b')).text, '/lab/alice/d/e/b')
  t.equal((await ask('MOVE', '/lab/alice/g', { Destination: '/lab/alice/h/' })).status, 201)

  const wanted = propfindFor('current-user-privilege-set', 'owner', 'quota-available-bytes')
  for (const path of ['/lab/alice/h/', '/own/alice/f/']) {
    const told = responsesOf(await ask('PROPFIND', path, { Depth: '0' }, wanted)).get(path)
    t.match(told?.get(200), '<D:privilege><D:bind/></D:privilege>', path)
    t.match(told?.get(200), '<D:owner><D:href>/.portolan/principals/users/')
    t.match(told?.get(200), /<D:quota-available-bytes>\d+</)
  }
  const bob = await gateway.request({
    method: 'PROPFIND',
    path: '/own/shared',
    user: 'bob',
    headers: { Depth: '0' },
    body: wanted,
  })
  const told = responsesOf(bob).get('/own/shared/')?.get(200)
  t.match(told, '<D:privilege><D:read/></D:privilege>')
  t.notMatch(told, '<D:bind/>', 'the kernel was asked')

  for (const [from, to] of [
    ['/lab', '/own/alice/x'],
    ['/lab/alice/h', '/own'],
  ] as const) {
    t.equal((await ask('MOVE', from, { Destination: to })).status, 403, `a mount point stays: ${from} to ${to}`)
  }
})
