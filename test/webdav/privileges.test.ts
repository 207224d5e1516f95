/** What DAV:current-user-privilege-set and DAV:acl say (RFC 3744, section 5) is what is decided, for whomever and however asked. */

import t from 'tap'
import { right } from '../../acl/acl.ts'
import type { Action } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { ace, alice, callOf, everything, identity, person, store } from '../http/door.ts'
import { type Dav, openDav, propfindFor, responsesOf } from './door.ts'

t.setTimeout(120_000)

const at = parsePath
const grant = (kind: 'read' | 'create' | 'modify', path: string) => ({ kind, path: at(path), directoryOnly: false })
const callers: Readonly<Record<string, Principal>> = {
  bob: person('bob'),
  reading: person('bob', { grants: [grant('read', '/data')] }),
  creating: person('bob', { grants: [grant('create', '/data/d')] }),
  modifying: person('bob', { grants: [grant('modify', '/data/d/e')] }),
  owning: person('alice', { grants: [grant('read', '/data/d')] }),
}

/** From 0 to 2^32, the same in each run. */
let state = 11
function random(): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return state >>> 0
}

const asked = propfindFor('current-user-privilege-set', 'acl')
const privilegesIn = (text = '') =>
  [...text.matchAll(/<D:privilege><(\w+:[\w-]+)\/><\/D:privilege>/g)].map(([, name]) => name)

/** What is told of a resource when it is named, and when its directory is. */
async function toldOf({ dav }: Dav, as: string, path: string, href: string) {
  const own = responsesOf(await dav('PROPFIND', path, { headers: { depth: '0' }, body: asked, as }))
  const listed = responsesOf(
    await dav('PROPFIND', path.replace(/[^/]+$/, ''), { headers: { depth: '1' }, body: asked, as }),
  )
  return { own: own.get(href)?.get(200), listed: listed.get(href)?.get(200), isListed: listed.has(href) }
}

/** Each is held exactly where the action is allowed. */
const exact: Readonly<Record<'file' | 'directory', ReadonlyArray<readonly [string, Action]>>> = {
  file: [
    ['D:read', 'read'],
    ['p:write-data', 'replace'],
    ['D:write-properties', 'set-attributes'],
    ['D:read-acl', 'read-acl'],
    ['D:write-acl', 'write-acl'],
    ['p:delete', 'remove'],
    ['p:write-owner', 'set-owner'],
  ],
  directory: [
    ['D:read', 'list'],
    ['D:write-properties', 'set-attributes'],
    ['D:read-acl', 'read-acl'],
    ['D:write-acl', 'write-acl'],
    ['p:delete', 'remove'],
  ],
}

t.test('privileges are the decisions, in words', async (t) => {
  const door = await openDav(t, {
    identity: {
      ...identity,
      async authenticate(credential) {
        const name = credential.kind === 'bearer' ? credential.token.reveal() : ''
        return callers[name] ?? identity.authenticate(credential)
      },
    },
  })
  const { storage, dav } = door
  for (const path of ['/data/d', '/data/d/e']) await storage.mkdir(callOf(alice), at(path))
  await store(storage, '/data/d/f', 'x')
  const own = ace({ user: 'alice@desy.de' }, everything)
  const aclWith = (mask: number) => ({
    owner: 'alice@desy.de',
    group: undefined,
    dialect: 'rfc8881' as const,
    aces: [ace({ user: 'bob@desy.de' }, random() & everything, 0, 'deny'), own, ace('EVERYONE@', mask, 0)],
  })
  let told = 0
  for (let round = 0; round < 60; round++) {
    await storage.setAcl(callOf(alice), at('/data/d'), aclWith(random() | right.traverse | right.listDirectory))
    for (const path of ['/data/d/e', '/data/d/f'])
      await storage.setAcl(callOf(alice), at(path), aclWith(random() & everything))
    for (const [as, principal] of Object.entries(callers)) {
      for (const [kind, path, href] of [
        ['directory', '/data/d/e', '/data/d/e/'],
        ['file', '/data/d/f', '/data/d/f'],
      ] as const) {
        const held = await storage.rights(callOf(principal), at(path)).catch(() => undefined)
        const { own, listed, isListed } = await toldOf(door, as, path, href)
        if (!held) {
          t.notMatch(own ?? '', 'privilege', `${as} ${path} learns nothing`)
          t.notMatch(listed ?? '', 'privilege')
          continue
        }
        told++
        if (isListed) t.equal(listed, own, `${as} ${path}`)
        const words = privilegesIn(own?.replace(/<D:acl>.*/s, ''))
        for (const [word, action] of exact[kind])
          if (words.includes(word) !== held.actions.includes(action))
            t.fail(`${as} ${path} ${word} ${action}: ${held.rights}`)
        if (own?.includes('<D:ace>') !== held.actions.includes('read-acl')) t.fail(`${as} ${path}: the ACL`)
        if (words.includes('D:write-content') && !held.actions.includes('replace'))
          t.fail(`${as} ${path}: write-content`)
        if (kind === 'file') continue
        const name = `${path}/${as}-${round}`
        const made = (await dav('PUT', name, { as, body: 'x' })).status === 201
        t.equal(made, words.includes('p:add-file') && words.includes('p:execute'), `${as} ${name}: add-file`)
        if (words.includes('D:bind') && !made) t.fail(`${as} ${path}: bind`)
      }
    }
  }
  t.ok(told > 100, `${told} were told`)
})
