import t from 'tap'
import { permitsPath, permitsType, visibleNames } from '../../acl/authorizer.ts'
import { type Action, actions } from '../../acl/needs.ts'
import type { Grant, Principal } from '../../acl/principal.ts'
import { boundOf } from '../../acl/scopes.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { job, people } from './cast.ts'

const cases: ReadonlyArray<readonly [string, Action, string, boolean]> = [
  // Whole names (WLCG token profile, section 2.2.1).
  ['read:/foo', 'read', '/foo', true],
  ['read:/foo', 'read', '/foo/x', true],
  ['read:/foo', 'read', '/foobar', false],
  ['read:/', 'read', '/any/x', true],
  ['create:/foo/bar', 'mkdir', '/foo', true],
  ['create:/foo/bar', 'create', '/foo', false],
  ['create:/foo/bar', 'create', '/foo/bar', true],
  ['create:/foo/bar', 'create', '/foo/bargain', false],
  ['create:/foo/bar/', 'create', '/foo/bar', false],
  ['create:/foo/bar/', 'mkdir', '/foo/bar', true],
  ['create:/foo/bar/', 'create', '/foo/bar/q', true],
  // What each scope is for.
  ['read:/d', 'stat', '/d/x', true],
  ['read:/d', 'list', '/d', true],
  ['read:/d', 'locality', '/d/x', true],
  ['read:/d', 'create', '/d/x', false],
  ['read:/d', 'remove', '/d/x', false],
  ['read:/d', 'stage', '/d/x', false],
  ['create:/d', 'stat', '/d/x', true],
  ['create:/d', 'list', '/d', false],
  ['create:/d', 'read', '/d/x', false],
  ['create:/d', 'mkdir', '/d/x', true],
  ['create:/d', 'replace', '/d/x', false],
  ['create:/d', 'edit', '/d/x', false],
  ['create:/d', 'remove', '/d/x', false],
  ['create:/d', 'move-away', '/d/x', true],
  ['create:/d', 'move-in-file', '/d/y', true],
  ['create:/d', 'move-in-directory', '/d/y', false],
  ['create:/d', 'move-away', '/e/x', false],
  ['modify:/d', 'create', '/d/x', true],
  ['modify:/d', 'replace', '/d/x', true],
  ['modify:/d', 'remove', '/d/x', true],
  ['modify:/d', 'move-in-directory', '/d/x', true],
  ['modify:/d', 'set-attributes', '/d/x', true],
  ['modify:/d', 'read', '/d/x', false],
  ['modify:/d', 'mkdir', '/', true],
  ['stage:/d', 'stage', '/d/x', true],
  ['stage:/d', 'stat', '/d/x', true],
  ['stage:/d', 'read', '/d/x', false],
  ['poll:/d', 'locality', '/d/x', true],
  ['poll:/d', 'stage', '/d/x', false],
  ['poll:/d', 'read', '/d/x', false],
  // Never by a scope.
  ['modify:/', 'write-acl', '/d/x', false],
  ['modify:/', 'set-mode', '/d/x', false],
  ['modify:/', 'set-owner', '/d/x', false],
  // The way to a grant.
  ['read:/a/b/c', 'stat', '/a/b', true],
  ['read:/a/b/c', 'list', '/', true],
  ['stage:/a/b/c', 'list', '/a', true],
  ['read:/a/b/c', 'read', '/a/b', false],
  ['read:/a/b/c', 'mkdir', '/a/b', false],
  ['read:/a/b/c', 'read-properties', '/a/b', false],
  ['read:/a/b/c', 'stat', '/a/x', false],
  ['read:/a/b/c', 'list', '/a/bb', false],
]

t.test('scopes cover whole names, for their own actions, and the way to them', async (t) => {
  for (const [scope, action, path, expected] of cases) {
    const decision = permitsPath(job(scope), action, parsePath(path))
    t.equal(decision.allowed, expected, `${scope} ${action} ${path}`)
    if (!decision.allowed) t.same([decision.reason.rule, decision.reason.path], ['scope', path], `${scope} ${action}`)
  }
})

t.test('several scopes add up, none allows nothing, and no bound allows everything', async (t) => {
  const both = job('read:/', 'create:/stageout')
  t.ok(permitsPath(both, 'read', parsePath('/sample')).allowed)
  t.ok(permitsPath(both, 'create', parsePath('/stageout/sample')).allowed)
  t.notOk(permitsPath(both, 'create', parsePath('/sample')).allowed)
  for (const action of actions) {
    t.notOk(permitsPath(job(), action, root).allowed, action)
    t.ok(permitsPath(people.bob, action, root).allowed, action)
  }
})

t.test('a scope with a final slash names a directory and never a file', async (t) => {
  const held = job('modify:/d/x/')
  t.ok(permitsPath(held, 'remove', parsePath('/d/x')).allowed, 'it may be a directory')
  t.ok(permitsType(held, 'remove', parsePath('/d/x'), 'directory').allowed)
  t.notOk(permitsType(held, 'remove', parsePath('/d/x'), 'file').allowed)
  t.notOk(permitsType(held, 'remove', parsePath('/d/x'), 'symlink').allowed)
  t.ok(permitsType(held, 'remove', parsePath('/d/x/y'), 'file').allowed)
  t.notOk(permitsPath(held, 'replace', parsePath('/d/x')).allowed)
})

t.test('a listing shows the names that lead to a grant, and all below a read scope', async (t) => {
  const held = job('read:/a/b/c', 'create:/a/d', 'stage:/e/', 'read:/a/bb')
  const rows: ReadonlyArray<readonly [string, readonly string[] | 'all']> = [
    ['/', ['a', 'e']],
    ['/a', ['b', 'd', 'bb']],
    ['/a/b', ['c']],
    ['/a/b/c', 'all'],
    ['/a/b/c/x', 'all'],
    ['/a/d', []],
    ['/e', []],
    ['/x', []],
  ]
  for (const [path, expected] of rows) {
    const names = visibleNames(held, parsePath(path))
    t.same(names === 'all' ? names : [...names], expected, path)
  }
  t.equal(visibleNames(people.bob, root), 'all')
  t.same(visibleNames(job(), root), new Set())
})

t.test('a scope bounds rights as well as actions', async (t) => {
  const rows: ReadonlyArray<readonly [string, string, 'file' | 'directory', number]> = [
    ['read:/d', '/d/x', 'file', 0xa9],
    ['read:/d', '/d', 'directory', 0xa9],
    ['create:/d', '/d', 'directory', 0xa6],
    ['create:/d', '/d/x', 'file', 0x80],
    ['modify:/d', '/d/x', 'file', 0x101d6],
    ['stage:/d', '/d/x', 'file', 0x80],
    ['poll:/d', '/d/x', 'file', 0x80],
    ['read:/d/x/', '/d/x', 'file', 0],
    ['read:/d/x', '/d', 'directory', 0xa1],
    ['read:/d', '/e', 'file', 0],
  ]
  for (const [scope, path, type, expected] of rows) {
    t.equal(boundOf(job(scope), parsePath(path), type), expected, `${scope} ${path} ${type}`)
  }
  t.equal(boundOf(people.bob, root, 'directory') & 0x1f07ff, 0x1f07ff)
})

t.test('a grant may be for one file alone, and may leave out places below it', async (t) => {
  const [file, top, closed] = [parsePath('/d/file'), parsePath('/d'), parsePath('/d/closed')]
  const exact = (kind: Grant['kind']): Grant => ({ kind, path: file, directoryOnly: false, exact: true })
  const one: Principal = { ...people.bob, grants: [exact('download'), exact('create')] }
  const most: Principal = {
    ...people.bob,
    grants: (['download', 'list', 'delete'] as const).map((kind) => {
      return { kind, path: top, directoryOnly: false, except: [closed] }
    }),
  }
  const rows: ReadonlyArray<readonly [Principal, Action, string, 'file' | 'directory' | undefined, boolean]> = [
    [one, 'read', '/d/file', undefined, true],
    [one, 'read', '/d/file', 'file', true],
    [one, 'read', '/d/file', 'directory', false],
    [one, 'stat', '/d/file', 'directory', false],
    [one, 'read', '/d/file/x', undefined, false],
    [one, 'stat', '/d/file/x', undefined, false],
    [one, 'read', '/d/filer', undefined, false],
    [one, 'mkdir', '/d/file', undefined, false],
    [one, 'mkdir', '/d', undefined, true],
    [one, 'stat', '/d', 'directory', true],
    [most, 'read', '/d/x', 'file', true],
    [most, 'read', '/d/closed', undefined, false],
    [most, 'read', '/d/closed/x', 'file', false],
    [most, 'stat', '/d/closed/x', 'file', false],
    [most, 'list', '/d/closed', 'directory', false],
    [most, 'read', '/d/closedness', 'file', true],
    [most, 'remove', '/d/x', 'directory', true],
    [most, 'remove', '/d', 'directory', false],
  ]
  for (const [by, action, at, type, expected] of rows) {
    const path = parsePath(at)
    const decision = type === undefined ? permitsPath(by, action, path) : permitsType(by, action, path, type)
    t.equal(decision.allowed, expected, `${action} ${at} ${type}`)
  }
  t.equal(visibleNames(most, top), 'all')
  t.same(visibleNames(most, closed), new Set())
  t.same(visibleNames(one, file), new Set())
  t.same(visibleNames(one, top), new Set(['file']))
  t.equal(boundOf(most, parsePath('/d/closed/x'), 'file'), 0)
  t.not(boundOf(most, parsePath('/d/x'), 'file'), 0)
  t.equal(boundOf(one, parsePath('/d/file/x'), 'file'), 0)
  t.equal(boundOf(one, file, 'directory'), 0)
  t.not(boundOf(one, file, 'file'), 0)
})
