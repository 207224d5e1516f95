/** The ACLs of the matrix: what guards an object, and the directory around it. All belong to alice and the group photon. */

import { named } from '../gateway/people.ts'
import { everything, look } from '../gateway/tree.ts'

export interface AclCase {
  readonly name: string
  /** Entries of the directory. */
  readonly around: readonly string[]
  /** Of the object, which may be a file or a directory. */
  readonly object: readonly string[]
}

const owner = `A::OWNER@:${everything}`
const bob = named('bob')
const carol = named('carol')
const p01 = named('p01')
const photon = named('photon')
/** A group that an issuer's tokens tell of and that no rule joins. */
const outside = '/lab/outside@lab-issuer'

/** May be gone through, listed and added to. */
const open = [owner, 'A::EVERYONE@:rwaxtncy']
const seen = [owner, `A::EVERYONE@:${look}`]

function ofObject(name: string, ...entries: readonly string[]): AclCase {
  return { name, around: seen, object: entries }
}

function around(name: string, ...entries: readonly string[]): AclCase {
  return { name, around: [owner, ...entries], object: [owner, 'A::EVERYONE@:rtncy'] }
}

export const aclCases: readonly AclCase[] = [
  ofObject('nothing at all'),
  ofObject('the owner alone', owner),
  ofObject('one reader', owner, `A::${bob}:rtcy`),
  ofObject('one reader without attributes', owner, `A::${bob}:r`),
  ofObject('attributes without bytes', owner, 'A::EVERYONE@:ty'),
  ofObject('one writer', owner, `A::${bob}:watTy`),
  ofObject('bytes without attributes', owner, 'A::EVERYONE@:rwa'),
  ofObject('one who changes', owner, `A::${bob}:rwatTnNcy`),
  ofObject('one who may delete it', owner, `A::${bob}:d`),
  ofObject('one who gives rights away', owner, `A::${carol}:tcC`),
  ofObject('one who takes it over', owner, `A::${carol}:to`),
  ofObject('its owner for whoever takes it', owner, 'A::EVERYONE@:to'),
  ofObject('named attributes alone', owner, 'A::EVERYONE@:nN'),
  ofObject('its ACL for all to read', owner, 'A::EVERYONE@:c'),
  ofObject('a group reads', owner, `A:g:${p01}:rtncy`),
  ofObject('a group changes', owner, `A:g:${p01}:rwatTnNcy`),
  ofObject('a group of an issuer', owner, `A:g:${outside}:rwatTncy`),
  ofObject('a group and a user of one name', owner, `A::${p01}:rwatTncy`, `A:g:${bob}:rwatTncy`),
  ofObject('its own group', owner, 'A:g:GROUP@:rtncy'),
  ofObject('everyone', owner, 'A::EVERYONE@:rwatTnNcy'),
  ofObject('everyone but one', owner, `D::${bob}:rwaT`, 'A::EVERYONE@:rwatTnNcy'),
  ofObject('a denial that comes too late', owner, 'A::EVERYONE@:rtncy', `D::${bob}:r`),
  ofObject('everyone but a group', owner, `D:g:${photon}:wT`, 'A::EVERYONE@:rwatTnNcy'),
  ofObject('one of a denied group', owner, `A::${bob}:w`, `D:g:${photon}:rw`, 'A::EVERYONE@:rwatncy'),
  ofObject('a denied owner', 'D::OWNER@:rC', 'A::EVERYONE@:rwatTnNcC'),
  ofObject('whoever has a name', owner, 'A::AUTHENTICATED@:rtncy'),
  ofObject('whoever has none', owner, 'A::ANONYMOUS@:rtncy'),
  ofObject('all but those without a name', owner, 'D::ANONYMOUS@:r', 'A::EVERYONE@:rtncy'),
  ofObject('rights in pieces', owner, 'A::EVERYONE@:t', `A::${bob}:r`, `A:g:${photon}:w`, `A:g:${p01}:rw`),
  ofObject('entries that only look on', owner, 'U:S:EVERYONE@:rw', `L:F:${bob}:r`, 'A::EVERYONE@:tc'),
  { name: 'entries for others to inherit', around: [...seen, 'D:fdi:EVERYONE@:rx'], object: [owner, `A::${bob}:rt`] },
  around('all may add'),
  { name: 'all may add files and directories', around: open, object: [owner, 'A::EVERYONE@:rtncy'] },
  around('files but no directories', 'A::EVERYONE@:rwxtncy'),
  around('directories but no files', 'A::EVERYONE@:raxtncy'),
  around('one may add', `A::${carol}:wax`, `A::EVERYONE@:${look}`),
  around('all may delete', 'A::EVERYONE@:rwaDxtncy'),
  around('all may delete but one', `D::${bob}:D`, 'A::EVERYONE@:rwaDxtncy'),
  around('the way through and nothing else', 'A::EVERYONE@:x'),
  around('added to by who may not look', 'A::EVERYONE@:wax'),
  around('names and no way through', 'A::EVERYONE@:rtncy'),
  around('closed to one', `D::${bob}:x`, `A::EVERYONE@:${look}`),
  {
    name: 'what the object denies its directory gives',
    around: [owner, 'A::EVERYONE@:rwaDxtncy'],
    object: [owner, 'D::EVERYONE@:dwr', 'A::EVERYONE@:tncy'],
  },
  {
    name: 'deleting is denied in both places',
    around: [owner, 'D::EVERYONE@:D', 'A::EVERYONE@:rwaxtncy'],
    object: [owner, 'D::EVERYONE@:d', 'A::EVERYONE@:rtncy'],
  },
]
