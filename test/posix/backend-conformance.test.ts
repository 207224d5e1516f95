/** The rules of every back end, kept by the POSIX one in both grades. */

import { symlinkSync } from 'node:fs'
import t from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { acesFromPosix } from '../../acl/posix.ts'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { conformance, type Deviation } from '../backends/conformance.ts'
import { alice, bob, fill, makeTree } from './backend-world.ts'

t.setTimeout(180_000)

/** ext4 and its kin keep POSIX ACLs: no names, no order, no single entry that inherits. */
const posixAcls: readonly Deviation[] = [
  {
    test: 'new objects inherit the entries that are marked so',
    reason: 'the file system below keeps POSIX ACLs, and refuses a list that inherits entry by entry',
  },
]

/** What a POSIX ACL can say: the owner all, bob and the group a part. */
const posixList: Acl = {
  owner: undefined,
  group: undefined,
  dialect: 'posix',
  aces: acesFromPosix(
    { owner: 7, users: [{ id: 41002, permission: 5 }], group: 4, groups: [], mask: 5, other: 0 },
    'file',
  ),
}

function harness(name: string, options: Partial<PosixOptions>, deviations: readonly Deviation[]) {
  return {
    name,
    deviations,
    start: async () => {
      const tree = await makeTree({ reserved: ['.snapshots'], ...options })
      return {
        backend: tree.backend,
        principals: [alice, bob] as const,
        reserved: ['.snapshots'],
        ...(options.grade === 'native' && { acl: posixList }),
        fill: async (directory: string, names: readonly string[]) => fill(tree.real(directory), names),
        link: async (path: string, target: string) => symlinkSync(target, tree.real(path)),
        leftovers: async () => tree.leftovers(),
        cleanup: tree.end,
      }
    },
  }
}

t.test('the gateway grade keeps the rules of every back end', (t) =>
  conformance(t, harness('posix gateway', { grade: 'gateway', sync: 'never' }, [])),
)

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
t.test('the native grade keeps the rules of every back end', { skip }, (t) =>
  conformance(t, harness('posix native', { grade: 'native', crossMounts: true }, posixAcls)),
)
