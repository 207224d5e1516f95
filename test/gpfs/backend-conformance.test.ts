/** The rules of every back end, kept by the GPFS one in both grades. */

import { symlinkSync } from 'node:fs'
import t from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { libgpfsModule } from '../../backends/gpfs/library-module.ts'
import { conformance, type Deviation } from '../backends/conformance.ts'
import { compileLibrary } from '../doubles/gpfs/library.ts'
import { alice, bob, fill, withFile } from '../posix/backend-world.ts'
import { type Made, makeGpfs } from './backend-world.ts'

t.setTimeout(240_000)

function harness(name: string, options: Made, deviations: readonly Deviation[], acl?: Acl) {
  return {
    name,
    deviations,
    start: async () => {
      const gpfs = await makeGpfs(options)
      return {
        backend: gpfs.backend,
        principals: [alice, bob] as const,
        reserved: ['.snapshots'],
        ...(acl && { acl }),
        fill: async (directory: string, names: readonly string[]) => fill(gpfs.real(directory), names),
        link: async (path: string, target: string) => symlinkSync(target, gpfs.real(path)),
        leftovers: async () => gpfs.leftovers(),
        cleanup: gpfs.end,
      }
    },
  }
}

const rootList: Acl['aces'] = [
  { type: 'allow', flags: 0x3, mask: 0x1f01ff, who: 'OWNER@' },
  { type: 'allow', flags: 0x3, mask: 0x1f01ff, who: { user: '41001' } },
]

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

const compiled = compileLibrary(t.testdir())
const library = 'library' in compiled ? compiled.library : ''
const noLibrary = 'reason' in compiled ? compiled.reason : false

/** Libraries know numbers only. */
const numericAcl: Acl = {
  owner: undefined,
  group: undefined,
  dialect: 'gpfs',
  aces: [
    { type: 'allow', flags: 0, mask: 0x1f01bf, who: 'OWNER@' },
    { type: 'allow', flags: 0, mask: 0x1200a9, who: { user: '41002' } },
    { type: 'allow', flags: 0x40, mask: 0x1200a9, who: { group: '41900' } },
    { type: 'deny', flags: 0, mask: 0x2, who: 'EVERYONE@' },
  ],
}

/** What the stand-in for the library does otherwise than GPFS. */
const standIn: readonly Deviation[] = [
  {
    test: 'a file gets no set-user-id, set-group-id or sticky bit',
    reason: 'the stand-in keeps the list in an attribute, and the mode does not follow it',
  },
]
/** In the `gateway` grade every object has a list. */
const standInGateway: readonly Deviation[] = [
  'attributes are bytes, of files and of directories',
  'attributes of ours do not exist for callers',
  'names of attributes have limits, and so have values',
  'attributes go with their object, and a new version has them too',
].map((test) => ({ test, reason: 'the stand-in keeps the list in an attribute that callers see' }))
const standInNative: readonly Deviation[] = [
  {
    test: 'an ACL is stored as given and changes no owner and no version',
    reason: 'the stand-in shows no ACL before one is set',
  },
  { test: 'new objects inherit the entries that are marked so', reason: 'the stand-in inherits nothing' },
]

/** The root's list is there from the first. */
async function withList({ directory }: { readonly directory: string }): Promise<void> {
  const { createAclSource } = await import(libgpfsModule(library).href)
  withFile(directory, (fd) => createAclSource().write(fd, { ...numericAcl, aces: rootList }))
}

t.test('with libgpfs the gateway grade keeps them too', { skip: noLibrary }, (t) =>
  conformance(
    t,
    harness(
      'gpfs gateway, libgpfs',
      { grade: 'gateway', library, begin: withList },
      [...byGateway, ...standIn, ...standInGateway],
      numericAcl,
    ),
  ),
)

const skip = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
t.test('the native grade keeps the rules of every back end', { skip }, (t) =>
  conformance(t, harness('gpfs native', { grade: 'native' }, shownOnly)),
)

t.test('with libgpfs the native grade keeps them too', { skip: skip || noLibrary }, (t) =>
  conformance(t, harness('gpfs native, libgpfs', { grade: 'native', library }, standInNative, numericAcl)),
)
