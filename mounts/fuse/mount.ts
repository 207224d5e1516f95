/** A mount, put together: the gateway's namespace, the file system over it, the kernel. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import { Client } from '../client/client.ts'
import { type ChoiceOptions, sourceFrom } from '../client/credentials/choose.ts'
import { type CredentialSource, withoutToken } from '../client/credentials/source.ts'
import { connectFs } from '../client/fs/connect.ts'
import type { RemoteFs } from '../client/fs/remote.ts'
import type { Ownership } from './attributes.ts'
import { errnoOf } from './errors.ts'
import { createFileSystem } from './file-system.ts'
import { type DiskCache, openDiskCache } from './files/disk-cache.ts'
import { createFileStore } from './files/files.ts'
import { createMemory } from './files/memory.ts'
import { isOwnProc } from './identity/proc.ts'
import { ProcessIdentities } from './identity/processes.ts'
import type { Log } from './keeper/log.ts'
import { deviceOf } from './kernel/device.ts'
import type { Agreement } from './kernel/init.ts'
import { Notices } from './kernel/notices.ts'
import { Session } from './kernel/session.ts'
import {
  type Account,
  type Attached,
  attach,
  checkAttach,
  passedDescriptor,
  raiseReadAhead,
} from './mounting/attach.ts'
import { mountPoint } from './mounting/place.ts'
import { repeatable } from './repeated.ts'

export interface MountOptions {
  /** What mounts and `df` show; as it stands in /etc/fstab. Holds no password. */
  readonly source: string
  /** Scheme, host and port of the gateway. */
  readonly origin: URL
  /** Where in the namespace the mount begins. */
  readonly top: Path
  /** A directory, or `/dev/fd/N`: mounted already. */
  readonly directory: string
  readonly readOnly: boolean
  readonly allowOther: boolean
  /** Whom the mount lets in instead of who makes it. */
  readonly account?: Account
  /** The credential is that of each process that asks. */
  readonly perProcess: boolean
  /** Blocks that are kept on disk: a directory, and bytes of it at most. */
  readonly cache?: { readonly directory: string; readonly size: number }
  /** Seconds until an operation fails that the gateway does not answer. */
  readonly timeout: number
  readonly nearline: 'wait' | 'fail'
  readonly ownership: Ownership
  /** Sends no credential at all. */
  readonly anonymous: boolean
  readonly credential: Pick<ChoiceOptions, 'tokenFile' | 'tickets'>
  /** PEM of the authorities to trust instead of the usual ones. */
  readonly ca?: string | undefined
  /** Sends the credential also over plain HTTP to another machine. */
  readonly insecure: boolean
  readonly log: Log
}

/** The descriptor that a process before this one has served. */
export interface Inherited {
  readonly fd: number
  /** Undefined where the kernel has yet to be answered for the first time. */
  readonly agreement: Agreement | undefined
  /** What that process wrote down for this one, and this one for the next. */
  readonly journal: number
}

export interface RunningMount {
  readonly directory: string | undefined
  readonly way: string
  /** Who the gateway takes us for; undefined for nobody in particular. */
  readonly user: string | undefined
  readonly agreement: Agreement
  readonly ended: Promise<void>
  /** Unmounts; lazily where the mount is in use. What was written is flushed. Never fails. */
  stop(): Promise<void>
}

interface Prepared {
  /** Undefined where each process brings its own credential. */
  readonly remote: RemoteFs | undefined
  readonly cache: DiskCache | undefined
}

/**
 * Resolves when the kernel is served. Otherwise throws with what to do about it, and nothing is mounted: `cancelled` when
 * `ending` aborts before.
 */
export async function mountGateway(
  options: MountOptions,
  inherited?: Inherited,
  ending?: AbortSignal,
): Promise<RunningMount> {
  if (!inherited) await checkAttach(options.directory)
  const preparing = prepare(options, inherited, ending)
  const { remote, cache } = await unlessEnded(preparing, ending)
  let attached: Attached | undefined
  try {
    attached = inherited ? undefined : await attach(attachOptions(options))
  } catch (error) {
    await cache?.close()
    await remote?.close()
    throw error
  }
  const fd = inherited?.fd ?? attached?.fd ?? -1
  const mountpoint = attached ? attached.directory : await inheritedPlace(options)
  const handed = { resumed: inherited?.agreement, journal: inherited?.journal }
  const session = serve(options, { remote, cache, fd, mountpoint, ...handed })
  const mount = new Mount({ options, session, attached, cache })
  try {
    const agreement = await mount.answered()
    if (attached?.directory !== undefined) await raiseReadAhead(attached.directory)
    if (ending?.aborted) throw ended()
    return {
      directory: attached?.directory,
      way: attached?.way ?? 'descriptor',
      user: remote?.user,
      agreement,
      ended: mount.ended,
      stop: () => mount.stop(),
    }
  } catch (error) {
    await mount.stop()
    throw error
  }
}

/** The same options as attach.ts takes them, for a process that attaches what another one serves. */
export function attachOptions(options: MountOptions) {
  const { source, directory, readOnly, allowOther, account } = options
  return { directory, readOnly, allowOther, source, ...(account && { account }) }
}

/** All that can fail before anything is mounted. */
async function prepare(options: MountOptions, inherited?: Inherited, ending?: AbortSignal): Promise<Prepared> {
  const remote = options.perProcess ? undefined : await connected(options, inherited?.agreement !== undefined, ending)
  try {
    if (remote) await requireDirectory(remote, options.top)
    else await requireGateway(options)
    return { remote, cache: options.cache && (await openDiskCache({ ...options.cache, log: options.log })) }
  } catch (error) {
    await remote?.close()
    throw error
  }
}

/** What comes too late is closed. */
async function unlessEnded(preparing: Promise<Prepared>, ending: AbortSignal | undefined): Promise<Prepared> {
  if (!ending) return preparing
  const told = Promise.withResolvers<never>()
  const tell = () => told.reject(ended())
  if (ending.aborted) tell()
  ending.addEventListener('abort', tell)
  try {
    return await Promise.race([told.promise, preparing])
  } catch (error) {
    if (ending.aborted) preparing.then(discard, () => undefined)
    throw error
  } finally {
    ending.removeEventListener('abort', tell)
  }
}

function discard({ remote, cache }: Prepared): void {
  for (const each of [cache, remote]) each?.close().catch(() => undefined)
}

function ended(): StorageError {
  return new StorageError('cancelled', 'ended before it was mounted')
}

/** `patient`: a mount that is in use already waits for its gateway. */
async function connected(options: MountOptions, patient: boolean, ending?: AbortSignal): Promise<RemoteFs> {
  const source = credentials(options)
  for (;;) {
    try {
      return await connectedBy(options, source)
    } catch (error) {
      if (!patient || ending?.aborted || !passing.has(StorageError.from(error).code)) {
        await source.close()
        throw error
      }
    }
    await new Promise((resolve) => setTimeout(resolve, betweenTries))
  }
}

const passing: ReadonlySet<string> = new Set(['unavailable', 'timeout', 'busy'])
const betweenTries = 1000

function connectedBy(
  { origin, ca, insecure, timeout, log }: MountOptions,
  source: CredentialSource,
): Promise<RemoteFs> {
  return connectFs({ origin, source, insecure, ca, timeout: timeout * 1000, log })
}

/** Where each process brings its own credential there is none to begin with. */
async function requireGateway({ origin, ca, insecure }: MountOptions): Promise<void> {
  if (!isOwnProc()) {
    throw new StorageError(
      'unsupported',
      'per-process identities take a /proc that shows the processes of this namespace',
    )
  }
  await new Client({ origin, ca, insecure }).health()
}

function credentials({ anonymous, origin, ca, credential, log }: MountOptions): CredentialSource {
  return anonymous ? withoutToken() : sourceFrom({ ...credential, origin, ca, log })
}

async function requireDirectory(remote: RemoteFs, top: Path): Promise<void> {
  const { type } = await remote.stat(top).catch((error: unknown) => {
    const { code } = StorageError.from(error)
    throw code === 'not-found' ? new StorageError(code, `the gateway has nothing at ${top}`, { cause: error }) : error
  })
  if (type !== 'directory') throw new StorageError('not-directory', `${top} is no directory`, { path: top })
}

interface Served extends Prepared {
  readonly fd: number
  /** Without symbolic links; undefined where it is not known. */
  readonly mountpoint: string | undefined
  readonly resumed: Agreement | undefined
  readonly journal: number | undefined
}

/** Asks the mount itself nothing: nobody serves it yet. */
function inheritedPlace({ directory }: MountOptions): Promise<string | undefined> {
  if (passedDescriptor(directory) !== undefined) return Promise.resolve(undefined)
  return mountPoint(directory).catch(() => undefined)
}

function serve(options: MountOptions, { remote, cache, fd, mountpoint, resumed, journal }: Served): Session {
  const { ownership, nearline, top, readOnly, log, timeout, origin } = options
  const device = deviceOf(fd)
  const notices = new Notices(device)
  const memory = createMemory()
  const filesOf = ({ largest, user }: RemoteFs) => {
    // Where the gateway knows nobody, it still decides at each opening what is served of the cache.
    const blocks = cache && { cache: cache.of(`${origin.origin} ${user ?? ''}`) }
    return createFileStore({ largest, memory, ...blocks })
  }
  const connect = async (credential: CredentialSource) => {
    const connection = await connectedBy(options, credential)
    return { remote: connection, files: filesOf(connection) }
  }
  const now = () => performance.now()
  const identity = remote
    ? { remote, files: filesOf(remote) }
    : new ProcessIdentities({ origin, mountpoint: options.directory, connect, log, now })
  const operations = createFileSystem(identity, notices, {
    ...{ ownership, nearline, top, readOnly, log, now, mountpoint },
    isResumed: resumed !== undefined,
    journal,
  })
  const resuming = resumed && { resumed }
  return new Session({
    device,
    notices,
    operations: repeatable(operations),
    errnoOf,
    timeout,
    readOnly,
    isShared: !remote,
    warn: log,
    ...resuming,
  })
}

/** The kernel asks at once. */
const firstAnswer = 10_000
/** So long a mount that was taken away while in use is served on. */
const grace = 5000

interface MountParts {
  readonly options: MountOptions
  readonly session: Session
  readonly attached: Attached | undefined
  readonly cache: DiskCache | undefined
}

class Mount {
  readonly ended: Promise<void>
  readonly #options: MountOptions
  readonly #session: Session
  readonly #attached: Attached | undefined
  #stopping: Promise<void> | undefined

  constructor({ options, session, attached, cache }: MountParts) {
    this.#options = options
    this.#session = session
    this.#attached = attached
    this.ended = session.ended.then(async () => {
      await attached?.end()
      await cache?.close()
    })
  }

  async answered(): Promise<Agreement> {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new StorageError('timeout', 'the kernel does not ask')), firstAnswer)
    try {
      return await Promise.race([this.#session.agreed, late.promise])
    } catch (cause) {
      if (cause instanceof StorageError) throw cause
      throw new StorageError('unavailable', 'the mount ended before the kernel was answered', { cause })
    } finally {
      clearTimeout(timer)
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const { log } = this.#options
    const attached = this.#attached
    let isDetached = false
    if (attached) {
      try {
        await attached.detach(false)
        isDetached = true
      } catch (error) {
        const { code, message } = StorageError.from(error)
        isDetached = code === 'not-found'
        if (!isDetached) log(`unmounting: ${message}; it is taken away all the same`)
      }
      if (!isDetached) {
        const told = (error: unknown) => log(`unmounting: ${StorageError.from(error).message}`)
        await attached.detach(true).catch(told)
      }
    }
    const timer = setTimeout(() => void this.#session.stop(), attached ? grace : 0)
    await this.ended
    clearTimeout(timer)
  }
}
