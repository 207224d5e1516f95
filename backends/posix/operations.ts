/** The operations of the POSIX back end that run on I/O threads: synchronous, under their caller's identity. */

import { randomInt } from 'node:crypto'
import type { ThreadAclSource } from './acl-reading.ts'
import { identify, mkdir, mkdirHidden, remove, rename, set } from './changing.ts'
import { allocate, createToEdit, dropLabel, openToEdit, seek, truncate } from './editing/acts.ts'
import { dropStrays } from './emptying.ts'
import { inspectTree } from './inspecting.ts'
import type { Operations, RunAs } from './io/protocol.ts'
import { readAttributes, reopen, restat, usage, writeAttributes } from './keeping.ts'
import { readKept } from './labelling.ts'
import { cutStaged, openStaged } from './leaving.ts'
import { exchange, link, symlink } from './linking/acts.ts'
import { access, look, open, openDirectory, page } from './looking.ts'
import { members, moreNames, openNames } from './membering.ts'
import * as sys from './native/sys.ts'
import type { PosixSetup } from './options.ts'
import { copyBytes, finishOld, openOld } from './overwriting.ts'
import { dropHidden, labelStaged, prepare, publish, stage, stageWhole, sweep } from './staging.ts'
import { hold, makeTrial } from './trying.ts'
import { makeWorkshop, type Step, type Workshop } from './workshop.ts'
import { listXattrs, setXattr } from './xattrs/acts.ts'

export type { PosixSetup } from './options.ts'
export type { Step } from './workshop.ts'

const acts = {
  look,
  open,
  openDirectory,
  page,
  openNames,
  moreNames,
  members,
  mkdir,
  mkdirHidden,
  remove,
  rename,
  identify,
  set,
  stage,
  stageWhole,
  openStaged,
  cutStaged,
  labelStaged,
  prepare,
  publish,
  openOld,
  copyBytes,
  finishOld,
  dropHidden,
  dropStrays,
  sweep,
  readAttributes,
  readKept,
  writeAttributes,
  reopen,
  restat,
  openToEdit,
  createToEdit,
  dropLabel,
  truncate,
  allocate,
  seek,
  symlink,
  link,
  exchange,
  listXattrs,
  setXattr,
  usage,
  inspectTree,
  hold,
  makeTrial,
} as const

type Acts = typeof acts & { readonly access: typeof access }

/** Name, arguments and result of each operation. */
export type OperationName = keyof Acts
export type ArgsOf<N extends OperationName> = Parameters<Acts[N]>[1]
export type ResultOf<N extends OperationName> = ReturnType<Acts[N]>

/** For one I/O thread. `step` is called at points of a change where a process may die; for tests. */
export function createOperations(
  setup: PosixSetup,
  step: (step: Step) => void = () => {},
  library?: ThreadAclSource,
): Operations {
  const shop = makeWorkshop(setup, randomInt(2 ** 47), step, library)
  const operations: Record<string, (args: never, ids: RunAs) => unknown> = { dispose }
  for (const [name, act] of Object.entries(acts)) {
    const run = act as (shop: Workshop, args: never) => unknown
    operations[name] = (args) => run(shop, args)
  }
  const uidOf = (ids: RunAs) => (typeof ids === 'object' ? ids.uid : -1)
  operations.access = (args: Parameters<typeof access>[1], ids) => access(shop, args, uidOf(ids))
  return operations as Operations
}

/** Closes what came with a result that nobody waits for any more. */
function dispose(result: unknown): void {
  if (typeof result !== 'object' || result === null) return
  for (const key of ['fd', 'parentFd'] as const) {
    const fd = (result as Readonly<Record<string, unknown>>)[key]
    if (typeof fd !== 'number') continue
    try {
      sys.close(fd)
    } catch {
      // It is gone all the same, and nobody is left to be told.
    }
  }
}
