/**
 * Runs the commands of Storage Scale: without a shell, in an environment of our own, a bounded number at a time,
 * with bounded output and time. A command that does not end is killed with all it has started.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { StorageError } from '../../gateway/core/errors.ts'
import type { HeldObject } from '../posix/path-acls.ts'
import { Deadline } from './deadline.ts'
import { brokenAnswer, failure, failureOfCommand, maxToldLength } from './failures.ts'
import { whenGone } from './process-groups.ts'
import { Slots } from './slots.ts'

/** The commands that are used. */
export type Command = 'mmgetacl' | 'mmputacl' | 'mmlsquota' | 'mmlsfileset' | 'mmlssnapshot' | 'mmlsfs'

export interface RunnerOptions {
  /** Where the commands are. Default /usr/lpp/mmfs/bin. */
  readonly directory?: string | undefined
  /** Words before each command, such as ["sudo", "-n"]. What runs as another account cannot be killed by us. */
  readonly prefix?: readonly string[]
  /** Commands running at a time. Default 4. One that does not die when killed keeps its place. */
  readonly atOnce?: number
  /** Commands that may wait for a place. Default 1000. */
  readonly waiting?: number
  /** ms from the call to the answer, waiting included. Default 20 s. */
  readonly deadline?: number
}

export interface RunOptions {
  /** Written to standard input; nothing is there to read without it. */
  readonly input?: string
  /** Told to the command as its last argument; let go of when nothing that was started can look at it any more. */
  readonly object?: HeldObject
  /** Bytes of output accepted. */
  readonly limit: number
  readonly signal: AbortSignal
}

export const commandDirectory = '/usr/lpp/mmfs/bin'

/** Number of the descriptor that a command is handed, after its three standard ones. */
const handedFd = 3

/** Messages in English and times in UTC, whatever the gateway runs with; nothing else is passed on. */
const environment = { LC_ALL: 'C', LANG: 'C', TZ: 'UTC', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }

export class Runner {
  readonly #directory: string
  readonly #prefix: readonly string[]
  readonly #deadline: number
  readonly #slots: Slots
  readonly #closing = new AbortController()

  constructor(options: RunnerOptions) {
    this.#directory = options.directory ?? commandDirectory
    this.#prefix = options.prefix ?? []
    this.#deadline = options.deadline ?? 20_000
    this.#slots = new Slots(options.atOnce ?? 4, options.waiting ?? 1000)
  }

  /**
   * What the command printed, as bytes, if it ended with 0. `args` are given as they are: none may begin with "-"
   * that came from outside. Throws as providers.ts says.
   */
  async run(command: Command, args: readonly string[], options: RunOptions): Promise<Buffer> {
    // Disposed of when this returns: every promise is awaited here.
    using deadline = new Deadline(options.signal, this.#closing.signal, this.#deadline)
    return await outputOf(await this.#begin(command, args, options, deadline.signal), options, deadline.signal)
  }

  /** Kills what runs; its callers get `unavailable`. */
  close(): void {
    this.#closing.abort()
  }

  async #begin(
    command: Command,
    args: readonly string[],
    options: RunOptions,
    signal: AbortSignal,
  ): Promise<ChildProcess> {
    const { object } = options
    let giveBack = () => {}
    try {
      giveBack = await this.#slots.take(signal)
      const child = this.#start(command, args, options)
      child.once('close', giveBack)
      if (object) child.once('close', () => whenGone(child.pid, () => object.release()))
      return child
    } catch (error) {
      giveBack()
      object?.release()
      throw error instanceof StorageError ? error : notRun(error)
    }
  }

  #start(command: Command, args: readonly string[], { input, object }: RunOptions): ChildProcess {
    const objects = object ? [this.#pathOf(object)] : []
    const [program = '', ...rest] = [...this.#prefix, `${this.#directory}/${command}`, ...args, ...objects]
    return spawn(program, rest, {
      // A process group of its own, so that all of it can be killed; no directory that a mount could miss.
      detached: true,
      cwd: '/',
      env: environment,
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...(object ? [object.fd] : [])],
    })
  }

  /**
   * What leads to the object from the command, whatever its name means by then. What a prefix starts does not get our
   * descriptors (sudo closes them), and has the rights to look at ours.
   */
  #pathOf({ fd }: HeldObject): string {
    return this.#prefix.length === 0 ? `/proc/self/fd/${handedFd}` : `/proc/${process.pid}/fd/${fd}`
  }
}

function outputOf(child: ChildProcess, { input, limit }: RunOptions, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stop = (reason: unknown) => {
      signal.removeEventListener('abort', abort)
      kill(child)
      reject(reason)
    }
    const abort = () => stop(signal.reason)
    const printed = collect(child.stdout, limit, () => stop(brokenAnswer(`more than ${limit} bytes of output`)))
    // Only codes are looked for in it; the rest is read so that the command does not wait for us.
    const told = collect(child.stderr, maxToldLength, () => {})
    child.once('error', (error) => stop(notRun(error)))
    child.once('close', (exit) => {
      signal.removeEventListener('abort', abort)
      if (exit === 0) resolve(Buffer.concat(printed))
      else reject(failureOfCommand(exit, Buffer.concat(told).toString('latin1')))
    })
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    // A command that ends before it has read everything says in its exit code what that means.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

function collect(stream: Readable | null, limit: number, tooMuch: () => void): Buffer[] {
  const chunks: Buffer[] = []
  let size = 0
  stream?.on('data', (chunk: Buffer) => {
    if (size > limit) return
    size += chunk.length
    chunks.push(chunk)
    if (size > limit) tooMuch()
  })
  return chunks
}

/**
 * Ends the command and all that it has started, and lets go of its pipes. To be called before these are closed: as
 * long somebody of the group is there, even where the command itself has ended.
 */
function kill(child: ChildProcess): void {
  if (child.pid !== undefined) {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has just ended, or runs as another account: then it keeps its place until it ends by itself.
    }
  }
  child.stdin?.destroy()
  child.stdout?.destroy()
  child.stderr?.destroy()
}

function notRun(error: unknown) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  const passing = code === 'EAGAIN' || code === 'ENOMEM' || code === 'EMFILE' || code === 'ENFILE'
  return failure(passing ? 'busy' : 'unavailable', `a command of Storage Scale cannot be run: ${code}`)
}
