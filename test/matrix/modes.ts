/** What POSIX can say: modes and POSIX ACLs of an object of alice and photon, and of the directory around it. */

import { chmodSync, chownSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { fsetxattr } from '../../backends/posix/native/sys.ts'
import { groups, users } from '../gateway/people.ts'

/** A named entry of a POSIX ACL, in the letters of setfacl(1). */
type Named = readonly ['user' | 'group', 'bob' | 'carol' | 'p01', number]

export interface Guard {
  readonly mode: number
  /** With the mask behind the last one. */
  readonly named?: readonly Named[]
  readonly mask?: number
  /** Of a directory, which otherwise may be gone through by whoever may list it. */
  readonly exactly?: boolean
}

export interface ModeCase {
  readonly name: string
  readonly around: Guard
  readonly object: Guard
}

const plain: Guard = { mode: 0o755 }
const ofObject = (name: string, object: Guard): ModeCase => ({ name, around: plain, object })
const around = (name: string, around: Guard): ModeCase => ({ name, around, object: { mode: 0o644 } })

export const modeCases: readonly ModeCase[] = [
  ofObject('mode 600', { mode: 0o600 }),
  ofObject('mode 644', { mode: 0o644 }),
  ofObject('mode 666', { mode: 0o666 }),
  ofObject('mode 664', { mode: 0o664 }),
  ofObject('mode 640', { mode: 0o640 }),
  ofObject('mode 604, which shuts the group out', { mode: 0o604 }),
  ofObject('mode 466, which binds the owner', { mode: 0o466 }),
  ofObject('a user who may read', { mode: 0o600, named: [['user', 'bob', 4]], mask: 4 }),
  ofObject('a user who may change', { mode: 0o600, named: [['user', 'bob', 6]], mask: 6 }),
  ofObject('a mask over it', { mode: 0o600, named: [['user', 'bob', 6]], mask: 4 }),
  ofObject('a user who may nothing', { mode: 0o646, named: [['user', 'carol', 0]], mask: 6 }),
  ofObject('a group that may change', { mode: 0o600, named: [['group', 'p01', 6]], mask: 6 }),
  around('mode 700', { mode: 0o700 }),
  around('mode 711', { mode: 0o711 }),
  around('mode 744', { mode: 0o744 }),
  around('mode 705, which shuts the group out', { mode: 0o705 }),
  around('mode 775', { mode: 0o775 }),
  around('mode 777', { mode: 0o777 }),
  around('mode 1777', { mode: 0o1777 }),
  around('mode 2775', { mode: 0o2775 }),
  around('a user who may add', { mode: 0o755, named: [['user', 'carol', 7]], mask: 7 }),
  around('a group that may add', { mode: 0o755, named: [['group', 'p01', 7]], mask: 7 }),
  around('a user shut out', { mode: 0o777, named: [['user', 'bob', 0]], mask: 7 }),
]

const owner = users.alice.uid
const group = groups.photon.gid

export function makeGuarded(path: string, kind: 'file' | 'directory', guard: Guard): void {
  if (kind === 'directory') mkdirSync(path)
  else closeSync(openSync(path, 'wx', 0o600))
  chownSync(path, owner, group)
  chmodSync(path, kind === 'directory' && !guard.exactly ? guard.mode | ((guard.mode & 0o444) >> 2) : guard.mode)
  if (guard.named) setAcl(path, guard, guard.named)
}

/** The extended attribute of acl(5), version 2 as in the kernel's posix_acl_xattr.h: tag, rights, id. */
function setAcl(path: string, { mode, mask = 7 }: Guard, named: readonly Named[]): void {
  const nobody = 0xffff_ffff
  const entries: (readonly [number, number, number])[] = [
    [1, (mode >> 6) & 7, nobody],
    ...named.flatMap(([kind, name, rights]) =>
      kind === 'user' && name !== 'p01' ? [[2, rights, users[name].uid] as const] : [],
    ),
    [4, (mode >> 3) & 7, nobody],
    ...named.flatMap(([, name, rights]) => (name === 'p01' ? [[8, rights, groups.p01.gid] as const] : [])),
    [0x10, mask, nobody],
    [0x20, mode & 7, nobody],
  ]
  const bytes = Buffer.alloc(4 + 8 * entries.length)
  bytes.writeUInt32LE(2)
  for (const [at, [tag, rights, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * at)
    bytes.writeUInt16LE(rights, 6 + 8 * at)
    bytes.writeUInt32LE(id, 8 + 8 * at)
  }
  const fd = openSync(path, 'r')
  fsetxattr(fd, 'system.posix_acl_access', bytes, 0)
  closeSync(fd)
}
