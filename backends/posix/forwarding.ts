/**
 * What back ends that stand on the POSIX one have in common: each operation and each facet goes to the back end below
 * unless the one above has its own.
 */

import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type {
  AclFacet,
  Backend,
  Changes,
  CheckFacet,
  CopyFacet,
  CreateOptions,
  Draft,
  EditFacet,
  Entry,
  ExchangeFacet,
  LinkFacet,
  Listing,
  ListOptions,
  MakeOptions,
  MembersFacet,
  MoveOptions,
  OpenOptions,
  Pending,
  PendingFile,
  PendingMove,
  PropertyFacet,
  QuotaFacet,
  RecordFacet,
  ResumingFacet,
  RightsFacet,
  Trail,
  VersionFacet,
  XattrFacet,
} from '../backend.ts'
import type { FileChecksums } from './checksums.ts'

/** The POSIX back end, or one that stands on it. */
export interface TreeBackend extends Backend {
  readonly checksums: FileChecksums
  readonly properties: PropertyFacet
  readonly records: RecordFacet
  readonly members: MembersFacet
  readonly copying: CopyFacet
  readonly editing: EditFacet
  readonly linking: LinkFacet
  readonly exchanging: ExchangeFacet
  readonly xattrs: XattrFacet
  readonly resuming: ResumingFacet
  readonly quotas: QuotaFacet
  readonly checking: CheckFacet
  enforces(): boolean
  ready(): Promise<void>
  sweep(age?: number): Promise<number>
}

/** Facets that not every back end above or below has: undefined leaves them out. */
export interface Particular {
  readonly acls?: AclFacet | undefined
  readonly rights?: RightsFacet | undefined
  readonly versions?: VersionFacet | undefined
}

export class Forwarding implements TreeBackend {
  readonly name: string
  readonly acls?: AclFacet
  readonly rights?: RightsFacet
  readonly versions?: VersionFacet
  readonly checksums: FileChecksums
  readonly properties: PropertyFacet
  readonly records: RecordFacet
  readonly members: MembersFacet
  readonly copying: CopyFacet
  readonly editing: EditFacet
  readonly linking: LinkFacet
  readonly exchanging: ExchangeFacet
  readonly xattrs: XattrFacet
  readonly resuming: ResumingFacet
  readonly quotas: QuotaFacet
  readonly checking: CheckFacet
  readonly #below: TreeBackend

  constructor(below: TreeBackend, { acls, rights, versions }: Particular) {
    this.#below = below
    this.name = below.name
    if (acls) this.acls = acls
    if (rights) this.rights = rights
    if (versions) this.versions = versions
    this.checksums = below.checksums
    this.properties = below.properties
    this.records = below.records
    this.members = below.members
    this.copying = below.copying
    this.editing = below.editing
    this.linking = below.linking
    this.exchanging = below.exchanging
    this.xattrs = below.xattrs
    this.resuming = below.resuming
    this.quotas = below.quotas
    this.checking = below.checking
  }

  /** As of the POSIX back end. */
  ready(): Promise<void> {
    return this.#below.ready()
  }

  /** As of the POSIX back end. */
  sweep(age?: number): Promise<number> {
    return this.#below.sweep(age)
  }

  enforces(): boolean {
    return this.#below.enforces()
  }

  walk(path: Path, call: Call): Promise<Trail> {
    return this.#below.walk(path, call)
  }

  list(directory: Path, options: ListOptions, call: Call): Promise<Pending<Listing>> {
    return this.#below.list(directory, options, call)
  }

  open(file: Path, options: OpenOptions, call: Call): Promise<PendingFile> {
    return this.#below.open(file, options, call)
  }

  create(file: Path, options: CreateOptions, call: Call): Promise<Pending<Draft>> {
    return this.#below.create(file, options, call)
  }

  mkdir(directory: Path, call: Call, options?: MakeOptions): Promise<Pending<Entry>> {
    return this.#below.mkdir(directory, call, options)
  }

  remove(path: Path, call: Call): Promise<Pending<void>> {
    return this.#below.remove(path, call)
  }

  rename(from: Path, to: Path, options: MoveOptions, call: Call): Promise<PendingMove<Entry>> {
    return this.#below.rename(from, to, options, call)
  }

  setAttributes(path: Path, changes: Changes, call: Call): Promise<Pending<Entry>> {
    return this.#below.setAttributes(path, changes, call)
  }

  close(): Promise<void> {
    return this.#below.close()
  }
}
