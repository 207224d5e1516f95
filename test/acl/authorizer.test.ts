import t from 'tap'
import type { Dialect } from '../../acl/acl.ts'
import { permitsOwner, permitsTrail, rightsOn } from '../../acl/authorizer.ts'
import { aclFromMode } from '../../acl/mode.ts'
import { type Action, actions } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { aclOf, entry, job, people, person, trail } from './cast.ts'

const { alice, bob, carol, anon } = people
const at = parsePath('/data/dir/name')

/** What an object is when only its directory matters. */
const silent = 'A::EVERYONE@:t'

const compound: ReadonlyArray<
  readonly [string, Action, string, string | undefined, boolean, ('sticky' | 'directory')?]
> = [
  ['C01', 'remove', 'A::bob:wx', 'A::bob:d', true],
  ['C02', 'remove', 'D::bob:D A::bob:x', 'A::bob:d', true],
  ['C03', 'remove', 'A::bob:Dx', 'D::bob:d', true],
  ['C04', 'remove', 'A::bob:wx', 'A::bob:r', true],
  ['C05', 'remove', 'A::bob:x', 'A::bob:r', false],
  ['C06', 'remove', 'A::bob:wx', 'D::bob:d', false],
  ['C07', 'remove', 'A::bob:wx', 'A::bob:r', false, 'sticky'],
  ['C08', 'create', 'A::bob:ax', undefined, false],
  ['C09', 'mkdir', 'A::bob:wx', undefined, false],
  ['C10', 'mkdir', 'A::bob:ax', undefined, true],
  ['C11 source', 'move-away', 'A::bob:Dx', silent, true],
  ['C11 target', 'move-in-file', 'A::bob:wx', undefined, true],
  ['C12 source', 'move-away', 'A::bob:Dx', silent, true, 'directory'],
  ['C12 target', 'move-in-directory', 'A::bob:wx', undefined, false],
  ['C13 replaced', 'remove', 'A::bob:wx', 'D::bob:d', false],
  ['C14', 'read', 'A::bob:r', 'A::bob:r', false],
  ['C15', 'set-times-now', 'A::bob:x', 'A::bob:w', true],
  ['C16', 'set-attributes', 'A::bob:x', 'A::bob:w', false],
  ['C17', 'set-mode', 'A::bob:x', 'A::bob:rwaT', false],
]

t.test('the compound vectors come out as stated', async (t) => {
  for (const [id, action, parentText, objectText, expected, special] of compound) {
    const parent = entry(
      'directory',
      parentText,
      special === 'sticky' ? { name: 'dir', mode: 0o1777 } : { name: 'dir' },
    )
    const object =
      objectText === undefined ? undefined : entry(special === 'directory' ? 'directory' : 'file', objectText)
    t.equal(permitsTrail(bob, action, trail(parent, object), at).allowed, expected, `${id} ${action}`)
  }
})

t.test('the times of a link are set by who may take it away', async (t) => {
  const link = entry('symlink', 'A::EVERYONE@:rxtcy')
  const may = (parent: string, action: Action) =>
    permitsTrail(bob, action, trail(entry('directory', parent, { name: 'dir' }), link), at).allowed
  for (const action of ['set-attributes', 'set-times-now'] as const) {
    t.ok(may('A::bob:wDx', action), action)
    t.notOk(may('A::bob:rx', action), action)
  }
  for (const action of ['set-mode', 'set-owner', 'write-acl', 'edit'] as const)
    t.notOk(may('A::bob:wDx', action), action)
})

t.test('C18: the owner can only be changed to oneself, the group only to one of one’s own', async (t) => {
  const rows: ReadonlyArray<readonly [Dialect, Principal, string, { owner?: string; group?: string }, boolean]> = [
    ['rfc8881', bob, 'A::bob:o', { owner: 'bob' }, true],
    ['rfc8881', bob, 'A::bob:o', { owner: 'carol' }, false],
    ['rfc8881', bob, 'A::bob:r', { owner: 'bob' }, false],
    ['gpfs', bob, 'A::bob:o', { group: 'cms' }, true],
    ['gpfs', bob, 'A::bob:o', { group: 'staff' }, false],
    ['gpfs', bob, 'A::bob:o', { owner: 'bob', group: 'cms' }, true],
    ['gpfs', alice, 'A::bob:o', { group: 'physics' }, true],
    ['gpfs', alice, 'A::bob:o', { group: 'cms' }, false],
    ['gpfs', alice, 'A::bob:o', { owner: 'alice' }, false],
    ['posix', alice, '', { group: 'physics' }, true],
    ['posix', alice, 'A::alice:o', { owner: 'alice' }, false],
    ['posix', bob, 'A::bob:o', { group: 'cms' }, false],
    ['dcache', bob, 'A::bob:o', { owner: 'bob' }, false],
    ['gpfs', anon, 'A::EVERYONE@:o', { owner: 'alice' }, false],
    ['gpfs', job('modify:/'), 'A::bob:o', { owner: 'bob' }, false],
  ]
  const parent = entry('directory', 'A::EVERYONE@:x', { name: 'dir' })
  for (const [dialect, who, text, change, expected] of rows) {
    const way = trail(parent, entry('file', aclOf(text, { dialect })))
    t.equal(permitsOwner(who, change, way, at).allowed, expected, `${dialect} ${who.id} ${JSON.stringify(change)}`)
  }
  const closed = trail(entry('directory', ''), entry('file', aclOf('', { dialect: 'posix' })))
  t.notOk(permitsOwner(alice, { group: 'physics' }, closed, at).allowed, 'below a closed directory')
})

t.test('in a sticky directory only DELETE itself, or owning either, lets one delete', async (t) => {
  const sticky = (text: string, owner = 'carol') =>
    entry('directory', aclOf(text, { owner }), { name: 'dir', mode: 0o1777 })
  const file = (text: string, owner = 'carol') => entry('file', aclOf(text, { owner }))
  const rows: ReadonlyArray<readonly [string, Entry, Entry, boolean]> = [
    ['neither is his', sticky('A::EVERYONE@:wxD'), file(silent), false],
    ['the file is his', sticky('A::EVERYONE@:wxD'), file(silent, 'bob'), true],
    ['the file is his, the directory silent', sticky('A::EVERYONE@:wx'), file(silent, 'bob'), true],
    ['the file is his, the directory closed to him', sticky('A::EVERYONE@:x'), file(silent, 'bob'), false],
    ['the directory is his', sticky('A::EVERYONE@:wxD', 'bob'), file(silent), true],
    ['DELETE is his', sticky('A::EVERYONE@:x'), file('A::bob:d'), true],
  ]
  for (const [what, parent, object, expected] of rows) {
    const decision = permitsTrail(bob, 'remove', trail(parent, object), at)
    t.equal(decision.allowed, expected, what)
  }
  const mapped = entry('directory', aclFromMode(0o1777, 'directory', { owner: '0', group: '0' }), { mode: 0o1777 })
  const theirs = entry('file', aclFromMode(0o666, 'file', { owner: '7', group: '7' }))
  const decision = permitsTrail(bob, 'remove', trail(mapped, theirs), at)
  t.equal(decision.allowed ? '' : decision.reason.rule, 'sticky', 'as /tmp is')
})

t.test('a refusal names the rule, the object and the entry', async (t) => {
  const open = entry('directory', 'A::EVERYONE@:x', { name: 'dir' })
  const rows: ReadonlyArray<readonly [string, Action, Trail, { rule: string; path?: string; ace?: number }]> = [
    ['an entry denies', 'read', trail(open, entry('file', 'A::bob:w D::bob:r')), { rule: 'ace', path: at, ace: 1 }],
    ['no entry grants', 'read', trail(open, entry('file', 'A::carol:r')), { rule: 'not-granted', path: at }],
    ['no ACL', 'stat', trail(open, entry('file', undefined)), { rule: 'no-acl', path: at }],
    [
      'the parent denies',
      'create',
      trail(entry('directory', 'A::bob:x D::bob:w', { name: 'dir' }), undefined),
      { rule: 'ace', path: '/data/dir', ace: 1 },
    ],
    [
      'the parent is closed',
      'read',
      trail(entry('directory', 'D::bob:x', { name: 'dir' }), entry('file', 'A::bob:r')),
      { rule: 'traverse', path: '/data/dir', ace: 0 },
    ],
    [
      'the parent shows no ACL',
      'read',
      trail(entry('directory', undefined, { name: 'dir' }), entry('file', 'A::bob:r')),
      { rule: 'traverse', path: '/data/dir' },
    ],
    ['DELETE is denied', 'remove', trail(open, entry('file', 'D::bob:d')), { rule: 'ace', path: at, ace: 0 }],
    [
      'DELETE_CHILD is denied',
      'remove',
      trail(entry('directory', 'A::bob:x D::bob:D', { name: 'dir' }), entry('file', silent)),
      { rule: 'ace', path: '/data/dir', ace: 1 },
    ],
    [
      'nothing about deleting',
      'remove',
      trail(open, entry('file', silent)),
      { rule: 'not-granted', path: '/data/dir' },
    ],
  ]
  for (const [what, action, way, expected] of rows) {
    const decision = permitsTrail(bob, action, way, at)
    const { rule, path, ace } = decision.allowed ? { rule: 'allowed' } : decision.reason
    t.same({ rule, ...(path && { path }), ...(ace !== undefined && { ace }) }, expected, what)
    t.notMatch(
      decision.allowed ? '' : decision.reason.text,
      /bob|entry/,
      `${what}: the text tells neither names nor entries`,
    )
  }
})

t.test('every action needs every directory on the way, and the first closed one is named', async (t) => {
  const open = (name: string) => entry('directory', 'A::EVERYONE@:rwaDx', { name })
  const shut = (name: string) => entry('directory', 'A::carol:x', { name })
  const file = entry('file', 'A::EVERYONE@:rwadxtTnNcCoy')
  const deep = parsePath('/data/a/b/c')
  const rows: ReadonlyArray<readonly [string, readonly Entry[], boolean, string | undefined]> = [
    ['the nearest', [open(''), open('a'), shut('b')], true, '/data/a/b'],
    ['the first of two', [open(''), shut('a'), shut('b')], true, '/data/a'],
    ['the top of the mount', [shut(''), open('a'), open('b')], true, '/data'],
    ['above the base of the mount', [shut(''), open('x'), open('y'), open('z'), open('a'), open('b')], true, '/'],
    ['the last that exists', [open(''), shut('a')], false, '/data/a'],
    ['one above the last that exists', [shut(''), open('a')], false, '/data'],
    ['it cannot be told where', [shut('')], false, undefined],
  ]
  for (const [what, ancestors, parentExists, path] of rows) {
    for (const action of actions) {
      for (const object of parentExists ? [file, undefined] : [undefined]) {
        const decision = permitsTrail(bob, action, { ancestors, parentExists, entry: object }, deep)
        const { rule, path: named } = decision.allowed ? { rule: 'allowed', path: undefined } : decision.reason
        t.same([rule, named], ['traverse', path], `${what}: ${action} of ${object ? 'a file' : 'nothing'}`)
      }
    }
  }
})

t.test('below a closed directory the answer is the same for what is there and for what is not', async (t) => {
  const shut = entry('directory', 'A::bob:rwa', { name: 'dir' })
  for (const action of actions) {
    const there = permitsTrail(bob, action, trail(shut, entry('file', 'A::bob:rwadxtTnNcCoy')), at)
    const missing = permitsTrail(bob, action, trail(shut, undefined), at)
    t.same(there, missing, action)
    t.notOk(there.allowed, action)
  }
})

t.test('what is missing asks for no rights of its own', async (t) => {
  const open = entry('directory', 'A::bob:x', { name: 'dir' })
  const rows: ReadonlyArray<readonly [Action, boolean]> = [
    ['read', true],
    ['stat', true],
    ['list', true],
    ['remove', true],
    ['move-away', true],
    ['replace', true],
    ['write-acl', true],
    ['create', false],
    ['mkdir', false],
    ['move-in-file', false],
  ]
  for (const [action, expected] of rows)
    t.equal(permitsTrail(bob, action, trail(open, undefined), at).allowed, expected, action)
  const top = entry('directory', 'A::EVERYONE@:x')
  const parentless: Trail = { ancestors: [top], parentExists: false, entry: undefined }
  for (const action of actions) t.ok(permitsTrail(bob, action, parentless, at).allowed, `${action} below nothing`)
})

t.test('the top of a mount can be neither made nor removed', async (t) => {
  const top: Trail = { ancestors: [], parentExists: true, entry: entry('directory', 'A::EVERYONE@:rwaDdxtTnNcCoy') }
  for (const action of ['create', 'mkdir', 'remove', 'move-away', 'move-in-file', 'move-in-directory'] as const) {
    const decision = permitsTrail(alice, action, top, parsePath('/data'))
    t.equal(decision.allowed ? '' : decision.reason.rule, 'root', action)
  }
  t.ok(permitsTrail(alice, 'list', top, parsePath('/data')).allowed)
})

t.test('dCache asks the mode bits where its list is silent, and only there', async (t) => {
  const object = (text: string, mode?: number) =>
    entry('file', aclOf(text, { dialect: 'dcache', kind: 'file' }), mode === undefined ? {} : { mode })
  const open = entry('directory', 'A::EVERYONE@:x', { name: 'dir' })
  const rows: ReadonlyArray<readonly [string, Entry, Action, boolean]> = [
    ['silent, mode grants', object('', 0o644), 'read', true],
    ['silent, mode does not', object('', 0o600), 'read', false],
    ['silent, no mode', object(''), 'read', false],
    ['denied, mode grants', object('D::bob:r', 0o644), 'read', false],
    ['silent on writing, mode lets the group write', object('A::bob:r', 0o664), 'replace', true],
  ]
  for (const [what, file, action, expected] of rows) {
    t.equal(permitsTrail(bob, action, trail(open, file), at).allowed, expected, what)
  }
  const parent = (text: string, mode: number) =>
    entry('directory', aclOf(text, { dialect: 'dcache' }), { name: 'dir', mode })
  t.ok(permitsTrail(bob, 'remove', trail(parent('', 0o775), object('')), at).allowed, 'the group may write')
  t.notOk(permitsTrail(carol, 'remove', trail(parent('', 0o775), object('')), at).allowed, 'others may not')
  t.notOk(permitsTrail(bob, 'remove', trail(parent('', 0o775), object('D::bob:d')), at).allowed, 'DELETE is denied')
  t.notOk(
    permitsTrail(bob, 'remove', trail(parent('D::bob:D', 0o775), object('')), at).allowed,
    'DELETE_CHILD is denied',
  )
})

t.test('what a scope says of types and ACLs holds once the object is known', async (t) => {
  const full = 'A::EVERYONE@:rwaDdxtTnNcCoy'
  const parent = entry('directory', full, { name: 'dir' })
  const rows: ReadonlyArray<readonly [string, Action, Entry['type'], string, boolean]> = [
    ['modify:/data/dir/name/', 'remove', 'directory', 'alice', true],
    ['modify:/data/dir/name/', 'remove', 'file', 'alice', false],
    ['read:/data/dir/name/', 'stat', 'file', 'alice', false],
    ['read:/data/dir/name/', 'list', 'directory', 'alice', true],
    ['create:/data', 'move-away', 'file', 'alice', true],
    ['create:/data', 'move-away', 'directory', 'alice', false],
    ['modify:/data', 'move-away', 'directory', 'alice', true],
    ['read:/data', 'read-acl', 'file', 'alice', false],
    ['read:/data', 'read-acl', 'file', 'bob', true],
  ]
  for (const [scope, action, type, owner, expected] of rows) {
    const way = trail(parent, entry(type, aclOf(full, { owner })))
    t.equal(permitsTrail(job(scope), action, way, at).allowed, expected, `${scope} ${action} ${type} of ${owner}`)
  }
})

t.test('effective rights are those of the ACL within the credential', async (t) => {
  const parent = entry('directory', 'A::bob:xD', { name: 'dir' })
  const file = entry('file', 'A::bob:rwatc')
  const rows: ReadonlyArray<readonly [string, Principal, Trail, number]> = [
    ['unbounded', bob, trail(parent, file), 0x1 | 0x2 | 0x4 | 0x80 | 0x20000 | 0x10000],
    ['read', job('read:/data'), trail(parent, file), 0x1 | 0x80],
    ['create', job('create:/data'), trail(parent, file), 0x80],
    ['modify', job('modify:/data'), trail(parent, file), 0x2 | 0x4 | 0x80 | 0x10000],
    ['stage', job('stage:/data'), trail(parent, file), 0x80],
    ['elsewhere', job('read:/other'), trail(parent, file), 0],
    ['closed', bob, trail(entry('directory', 'A::bob:r'), file), 0],
    ['missing', bob, trail(parent, undefined), 0],
    ['somebody else', person('eve'), trail(parent, file), 0],
  ]
  for (const [what, who, way, expected] of rows) t.equal(rightsOn(who, way, at), expected, what)
})
