/** The rules of every back end, kept by the GPFS one in both grades. */

import { symlinkSync } from 'node:fs'
import t from 'tap'
import { conformance, type Deviation } from '../backends/conformance.ts'
import { alice, bob, fill } from '../posix/backend-world.ts'
import { type Made, makeGpfs } from './backend-world.ts'

t.setTimeout(240_000)

function harness(name: string, options: Made, deviations: readonly Deviation[]) {
  return {
    name,
    deviations,
    start: async () => {
      const gpfs = await makeGpfs(options)
      return {
        backend: gpfs.backend,
        principals: [alice, bob] as const,
        reserved: ['.snapshots'],
        fill: async (directory: string, names: readonly string[]) => fill(gpfs.real(directory), names),
        link: async (path: string, target: string) => symlinkSync(target, gpfs.real(path)),
        leftovers: async () => gpfs.leftovers(),
        cleanup: gpfs.end,
      }
    },
  }
}

/** Files are made by the gateway, which cannot give them away. */
const byGateway: readonly Deviation[] = [
  {
    test: 'a new object belongs to the caller',
    reason: 'the file system takes the account of the gateway for the owner; the caller is named in the list',
  },
  {
    test: 'new objects inherit the entries that are marked so',
    reason: 'what is meant for the owner is said of the caller by name besides',
  },
]

const byPathAlone = 'set by path it would be the gateway that sets the ACL and not the caller'
const shownOnly: readonly Deviation[] = [
  'a file that took the name after the look keeps its ACL',
  'an ACL is stored as given and changes no owner and no version',
  'an ACL is set only over the state that was seen',
  'new objects inherit the entries that are marked so',
].map((test) => ({ test, reason: byPathAlone }))

t.test('the gateway grade keeps the rules of every back end', (t) =>
  conformance(t, harness('gpfs gateway', { grade: 'gateway' }, byGateway)),
)

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
t.test('the native grade keeps the rules of every back end', { skip }, (t) =>
  conformance(t, harness('gpfs native', { grade: 'native' }, shownOnly)),
)
