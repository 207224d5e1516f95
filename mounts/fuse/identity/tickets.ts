/**
 * Kerberos tickets of the user whose process asks. A ticket cache may be a file, a directory, a key ring or a daemon, and
 * its name comes from the user: so it is a process of that user that opens it, never this one.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, lstatSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { TicketLibrary } from '../../client/tickets.ts'
import type { Ids } from './proc.ts'

/** At once. */
const mostProcesses = 8
const mostOfUser = 2
/** Milliseconds that one may live: a KDC may be slow, and the gateway has to answer in between. */
const lifetime = 20_000
const longestAnswer = 128 * 1024

/** Of a process that asks: KRB5CCNAME, or the file that is used without it (krb5.conf(5)). Undefined where it has none. */
export function cacheOf(name: string | undefined, { uid }: Ids): string | undefined {
  if (name !== undefined && name !== '') return name.length <= 4096 ? name : undefined
  const file = `/tmp/krb5cc_${uid}`
  try {
    const found = lstatSync(file)
    return found.isFile() && found.uid === uid ? `FILE:${file}` : undefined
  } catch {
    return undefined
  }
}

export class UserTickets {
  /** Processes that are under way, and whose they are. */
  readonly #running = new Map<ChildProcess, number>()
  readonly #environment: Readonly<Record<string, string | undefined>>

  /** `environment`: of this process, whose KRB5_CONFIG holds for all. */
  constructor(environment: Readonly<Record<string, string | undefined>> = process.env) {
    this.#environment = environment
  }

  /** A thread of one of the processes: it must not wait for itself, should its cache be on the mount. */
  isOurs(thread: number): boolean {
    for (const { pid } of this.#running.keys()) if (existsSync(`/proc/${pid}/task/${thread}`)) return true
    return false
  }

  libraryFor(ids: Ids, cache: string): TicketLibrary {
    return {
      begin: async (service) => {
        const child = this.#start(ids, cache)
        const { token, error } = await ask(child, { service })
        if (typeof token !== 'string' || !/^[A-Za-z0-9+/]+={0,2}$/.test(token)) {
          child.kill('SIGKILL')
          throw new StorageError('unauthenticated', textOf(error))
        }
        return {
          token,
          async proves(proof) {
            try {
              return (await ask(child, { proof })).isProved === true
            } finally {
              child.kill('SIGKILL')
            }
          },
        }
      },
    }
  }

  close(): void {
    for (const child of this.#running.keys()) child.kill('SIGKILL')
  }

  #start({ uid, gid }: Ids, cache: string): ChildProcess {
    const theirs = [...this.#running.values()].filter((each) => each === uid).length
    if (this.#running.size >= mostProcesses || theirs >= mostOfUser) {
      throw new StorageError('busy', 'too many sign in by Kerberos at this moment')
    }
    const { KRB5_CONFIG } = this.#environment
    const env = { KRB5CCNAME: cache, ...(KRB5_CONFIG !== undefined && { KRB5_CONFIG }) }
    const isOther = uid !== process.geteuid?.()
    if (isOther && process.geteuid?.() !== 0) {
      throw new StorageError('denied', 'only the superuser starts processes of somebody else')
    }
    // The same extension as this file: `.ts` in the source tree, `.js` where it was built.
    const file = fileURLToPath(new URL(`./ticket-process${extname(import.meta.url)}`, import.meta.url))
    // Further groups are left behind with the ids (setgroups(2)).
    const child = spawn(process.execPath, [file], {
      ...{
        env,
        cwd: '/',
        stdio: ['pipe', 'pipe', 'ignore'] as const,
        timeout: lifetime,
        killSignal: 'SIGKILL' as const,
      },
      ...(isOther && { uid, gid }),
    })
    this.#running.set(child, uid)
    const gone = () => this.#running.delete(child)
    child.once('exit', gone)
    child.once('error', gone)
    // Told by its end.
    child.stdin?.on('error', () => {})
    child.unref()
    return child
  }
}

/** One line there, one line back. It is another's process, and may say anything. */
function ask(child: ChildProcess, question: object): Promise<Readonly<Record<string, unknown>>> {
  const { stdin, stdout } = child
  return new Promise((resolve, reject) => {
    let text = ''
    const over = (answer: Readonly<Record<string, unknown>> | undefined) => {
      child.off('close', none)
      child.off('error', none)
      stdout?.off('data', more)
      if (answer) resolve(answer)
      else {
        child.kill('SIGKILL')
        reject(new StorageError('unauthenticated', 'the process that signs in by Kerberos did not answer'))
      }
    }
    const none = () => over(undefined)
    const more = (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (text.length > longestAnswer) none()
      else if (text.includes('\n')) over(parsed(text.slice(0, text.indexOf('\n'))))
    }
    child.once('close', none)
    child.once('error', none)
    stdout?.on('data', more)
    stdin?.write(`${JSON.stringify(question)}\n`)
  })
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/** For the log: one line of what libkrb5 says. */
function textOf(error: unknown): string {
  return typeof error === 'string' ? error.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 200) : 'no Kerberos ticket'
}
