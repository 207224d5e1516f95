/** What a file system can do, found by trying it; for the mount's self-check. */

import { randomBytes } from 'node:crypto'
import type { Finding } from '../backend.ts'
import { renameTo } from './changing.ts'
import * as sys from './native/sys.ts'
import { stagingPrefix } from './options.ts'
import { closing, kindOf, type Workshop } from './workshop.ts'

/** Names looked at to find those that are not UTF-8. */
const sample = 20_000
/** ms that clocks may differ. */
const tolerance = 1000

const typeNames = new Map<number, string>(Object.entries(sys.fileSystemTypes).map(([name, type]) => [type, name]))

/** Tries the top directory. Leaves nothing. */
export function inspectTree(shop: Workshop, _args: Readonly<Record<string, never>>): readonly Finding[] {
  const { walker, maker } = shop
  maker.begin(true)
  const fd = walker.rootFd
  const stat = sys.fstat(fd)
  const { type, nameMax } = sys.fstatfs(fd)
  const findings: Finding[] = [
    ok('reachable', 'the top directory can be opened'),
    ok('file-system', typeNames.get(type) ?? `type 0x${type.toString(16)}`),
    nameMax >= 255 ? ok('name-length', `${nameMax} bytes`) : warning('name-length', `names end at ${nameMax} bytes`),
    aclKind(shop, fd, stat, type),
    badNames(shop, fd),
  ]
  return [...findings, ...tryWriting(shop, fd)]
}

function aclKind({ setup, maker }: Workshop, fd: number, stat: sys.Stat, type: number): Finding {
  if (setup.native) return ok('acl-kind', 'the kernel decides')
  if (setup.acl.includes('path')) return ok('acl-kind', 'ACLs come by path')
  const read = maker.acls.read(fd, stat)
  const trouble = maker.acls.takeTrouble()
  if (!read) return error('acl-kind', `the top directory has no ACL that can be used: ${trouble?.join(', ')}`)
  if (maker.acls.library) return ok('acl-kind', 'ACLs by a library of the file system')
  if (maker.acls.hasNfs4(fd, stat.dev)) return ok('acl-kind', 'NFSv4 ACLs of the file system')
  const hidden = type === sys.fileSystemTypes.nfs || type === sys.fileSystemTypes.gpfs
  if (hidden) return ok('acl-kind', 'ACLs in an attribute of ours alone: the file system hides its own')
  if (maker.acls.usesOwn()) return ok('acl-kind', 'ACLs in an attribute of ours, else mapped from POSIX')
  return warning('acl-kind', 'ACLs are mapped from POSIX: new files belong to the account of the gateway')
}

function badNames({ walker }: Workshop, root: number): Finding {
  let bad = 0
  let seen = 0
  try {
    closing(walker.open(root, '.', sys.O_RDONLY | sys.O_DIRECTORY), (fd) => {
      for (let batch = sys.getdents(fd); batch.length > 0 && seen < sample; batch = sys.getdents(fd)) {
        seen += batch.length
        for (const { name } of batch) if (name === undefined) bad++
      }
    })
  } catch (thrown) {
    if (thrown instanceof sys.Errno) return warning('bad-names', `the top directory cannot be listed: ${thrown.code}`)
    throw thrown
  }
  if (bad > 0) return warning('bad-names', `${bad} of ${seen} names in the top directory are not UTF-8 and not shown`)
  return ok('bad-names', `none among ${seen} names in the top directory`)
}

/** What needs a file to be made. */
function tryWriting(shop: Workshop, root: number): Finding[] {
  const name = `${stagingPrefix}check-${randomBytes(8).toString('hex')}`
  let fd: number
  try {
    fd = shop.walker.open(root, name, sys.O_CREAT | sys.O_EXCL | sys.O_RDWR, 0o600)
  } catch (thrown) {
    if (!(thrown instanceof sys.Errno)) throw thrown
    const text = `nothing can be made in the top directory by the account of the gateway: ${thrown.code}`
    return [shop.setup.native ? ok('writable', text) : warning('writable', text)]
  }
  try {
    return [
      ok('writable', 'files can be made'),
      clockFinding(sys.fstat(fd)),
      attempt('xattr', 'extended attributes work', () => {
        sys.fsetxattr(fd, `${shop.setup.xattrNamespace}.portolan.check`, Buffer.from('1'), 0)
      }),
      attempt('o-tmpfile', 'files without a name work', () =>
        sys.close(sys.openat(root, '.', sys.O_TMPFILE | sys.O_RDWR, 0o600)),
      ),
      attempt('hard-link', 'hard links work', () => {
        sys.linkat(root, name, root, `${name}-link`, 0)
        sys.unlinkat(root, `${name}-link`, 0)
      }),
      attempt('rename', 'a rename that must not replace works', () => {
        renameTo(root, name, root, `${name}-to`)
        sys.renameat2(root, `${name}-to`, root, name, 0)
      }),
      caseFinding(root, name),
    ]
  } finally {
    sys.close(fd)
    for (const left of [name, `${name}-link`, `${name}-to`]) unlinkIfThere(root, left)
  }
}

/** Times that the file system stamps are compared with ours: to tell what may still change within one tick. */
function clockFinding({ ctimeNs }: sys.Stat): Finding {
  const apart = Math.abs(Number(BigInt(Date.now()) - ctimeNs / 1_000_000n))
  if (apart <= tolerance) return ok('clock', `${apart} ms apart from that of the file system`)
  return warning('clock', `${apart} ms apart from that of the file system: what is remembered of ACLs may be too old`)
}

function caseFinding(root: number, name: string): Finding {
  const other = name.replace('check', 'CHECK')
  try {
    kindOf(sys.fstatat(root, other, sys.AT_SYMLINK_NOFOLLOW))
    return warning('case', 'the file system does not tell upper from lower case')
  } catch (thrown) {
    if (sys.isErrno(thrown, 'ENOENT')) return ok('case', 'upper and lower case differ')
    throw thrown
  }
}

function attempt(subject: string, text: string, work: () => void): Finding {
  try {
    work()
    return ok(subject, text)
  } catch (thrown) {
    if (thrown instanceof sys.Errno) return warning(subject, `the file system cannot do this: ${thrown.code}`)
    throw thrown
  }
}

function unlinkIfThere(root: number, name: string): void {
  try {
    sys.unlinkat(root, name, 0)
  } catch (thrown) {
    if (!sys.isErrno(thrown, 'ENOENT')) throw thrown
  }
}

function ok(subject: string, text: string): Finding {
  return { subject, level: 'ok', text }
}

function warning(subject: string, text: string): Finding {
  return { subject, level: 'warning', text }
}

function error(subject: string, text: string): Finding {
  return { subject, level: 'error', text }
}
