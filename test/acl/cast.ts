/** The people and lists that the tables of these tests speak about. */

import { type Acl, type Rights, right } from '../../acl/acl.ts'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { anonymous, type Grant, type Principal } from '../../acl/principal.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import { parsePath } from '../../gateway/core/path.ts'

export function person(user: string, groups: readonly string[] = [], more: Partial<Principal> = {}): Principal {
  return { id: user, user, groups: new Set(groups), grants: 'unbounded', ...more }
}

export const people = {
  alice: person('alice', ['physics']),
  bob: person('bob', ['physics', 'cms']),
  carol: person('carol', ['cms']),
  dave: person('dave', ['staff']),
  anon: anonymous,
} as const

export type Name = keyof typeof people

/** An ACL of alice's, in group physics, from the text of nfs4_acl(5). */
export function aclOf(text: string, more: Partial<Acl> & { readonly kind?: ObjectKind } = {}): Acl {
  const { kind = 'directory', ...rest } = more
  return { owner: 'alice', group: 'physics', aces: parseNfs4Text(text, kind), dialect: 'rfc8881', ...rest }
}

const letters: Readonly<Record<string, Rights>> = {
  r: right.readData,
  w: right.writeData,
  a: right.appendData,
  x: right.execute,
  t: right.readAttributes,
  c: right.readAcl,
  d: right.delete,
}

export function rightsOf(text: string): Rights {
  return [...text].reduce((sum, letter) => sum | (letters[letter] ?? Number.NaN), 0)
}

export function entry(type: Entry['type'], acl: string | Acl | undefined, more: Partial<Entry> = {}): Entry {
  const kind = type === 'directory' ? 'directory' : 'file'
  const list = typeof acl === 'string' ? aclOf(acl, { kind }) : acl
  const made: Entry = { name: '', type, size: 0, modified: 0n, changed: 0n, version: 'v', id: 'i', ...more }
  return list === undefined ? made : { ...made, acl: list }
}

/** A way of open directories to the parent and the object in it; `undefined` for what is missing. */
export function trail(parent: Entry | undefined, object: Entry | undefined): Trail {
  const top = entry('directory', 'A::EVERYONE@:x')
  return { ancestors: parent ? [top, parent] : [top], parentExists: parent !== undefined, entry: object }
}

/** A job with scopes such as "read:/foo" or "create:/foo/bar/". */
export function job(...scopes: readonly string[]): Principal {
  const grants = scopes.map((scope): Grant => {
    const [kind, path = '/'] = scope.split(':')
    return { kind: kind as Grant['kind'], path: parsePath(path), directoryOnly: path.length > 1 && path.endsWith('/') }
  })
  return person('bob', ['physics', 'cms'], { grants })
}

/** A small seeded generator (mulberry32): failures can be repeated. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below)
  }
}
