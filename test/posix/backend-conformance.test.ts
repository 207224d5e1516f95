/** The rules of every back end, kept by the POSIX one in both grades. */

import { symlinkSync } from 'node:fs'
import t from 'tap'
import type { PosixOptions } from '../../backends/posix/options.ts'
import { conformance, type Deviation } from '../backends/conformance.ts'
import { alice, bob, fill, makeTree } from './backend-world.ts'

t.setTimeout(180_000)

/** ext4 and its kin keep POSIX ACLs: no names, no order, no single entry that inherits. */
const posixAcls: readonly Deviation[] = [
  'a file that took the name after the look keeps its ACL',
  'an ACL is stored as given and changes no owner and no version',
  'an ACL is set only over the state that was seen',
  'new objects inherit the entries that are marked so',
].map((test) => ({ test, reason: 'the file system below keeps POSIX ACLs, and the list is refused' }))

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
        fill: async (directory: string, names: readonly string[]) => fill(tree.real(directory), names),
        link: async (path: string, target: string) => symlinkSync(target, tree.real(path)),
        leftovers: async () => tree.leftovers(),
        cleanup: tree.end,
      }
    },
  }
}

t.test('the gateway grade keeps the rules of every back end', (t) =>
  conformance(t, harness('posix gateway', { grade: 'gateway', sync: 'never' }, [bodies])),
)

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
t.test('the native grade keeps the rules of every back end', { skip }, (t) =>
  conformance(t, harness('posix native', { grade: 'native', crossMounts: true }, [bodies, ...posixAcls])),
)
