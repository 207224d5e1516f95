/** Passwords that a KDC knows: whether one is right, asked on threads of their own and never for longer than a deadline. */

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Secret } from '../../secret.ts'
import { type Answer, loadLibrary, type Question } from './krb5.ts'

/** Whom to ask, and how the KDC proves that it is one. */
export interface KerberosPasswordOptions {
  /** The realm of accounts: alice is alice@`realm`. */
  readonly realm: string
  /** A file with a key of `service`. */
  readonly keytab: string
  /** A service of ours, as "HTTP/gw.example.org@EXAMPLE.ORG". */
  readonly service: string
  /** Which account a principal is by the rules for tickets, so that a password makes nobody else of him. Throws `denied`. */
  accountOf(principal: string): string
}

/** `text` says why, for the audit log. */
export type Verdict = { readonly right: true } | { readonly right: false; readonly text: string }

export interface KerberosPasswords {
  /** `client` is a principal with its realm. Throws `unavailable` when nobody can tell now, `busy` when too many wait. */
  check(client: string, password: Secret, proof: Pick<KerberosPasswordOptions, 'keytab' | 'service'>): Promise<Verdict>
  /** Ends the threads. One that waits for a KDC ends after libkrb5 has given up. */
  close(): void
}

/** Threads of one process, and questions that wait for one. */
const most = { threads: 2, waiting: 64 } as const
/** Milliseconds. */
const deadline = 10_000
/** Seconds after which to come again. */
const retryAfter = 5

/** ERROR_TABLE_BASE_krb5 of krb5.h; the errors of RFC 4120, section 7.5.9, follow it by number. */
const base = -1_765_328_384

/** Codes that are an answer about the user; all others say that the question was not answered. */
const refusals: ReadonlyMap<number, string> = new Map([
  [base + 1, 'the account has expired'],
  [base + 6, 'Kerberos does not know the name'],
  [base + 12, 'the policy of the KDC forbids it'],
  [base + 18, 'the account is locked or disabled'],
  [base + 21, 'the account is not valid yet'],
  [base + 23, 'the password has expired and must be changed'],
  [base + 24, 'it is not the password'],
  [base + 31, 'it is not the password'],
  // KRB5_PREAUTH_FAILED: a second factor or a smart card, which nobody can show here.
  [-1_765_328_174, 'the KDC wants more than a password, or it is not the password'],
])

/** What an administrator has to do about a code. */
const troubles: ReadonlyMap<number, string> = new Map([
  [base + 37, 'the clocks of gateway and KDC differ too much'],
  [-1_765_328_228, 'no KDC of the realm answers'],
  [-1_765_328_230, 'krb5.conf and DNS name no KDC of the realm'],
  [-1_765_328_164, 'the name of the KDC cannot be resolved'],
])

/** Throws `invalid` when there is no libkrb5 on this machine. */
export function requireKerberosLibrary(): void {
  try {
    loadLibrary()
  } catch (cause) {
    throw new StorageError('invalid', 'passwords: libkrb5.so.3 cannot be loaded; on Debian install libkrb5-3', {
      cause,
    })
  }
}

/** No thread runs before the first question. */
export function createKerberosPasswords(): KerberosPasswords {
  const threads = new Threads()
  return {
    async check(client, password, { keytab, service }) {
      const text = password.reveal()
      // libkrb5 would see what stands before it.
      if (text === '' || text.includes('\0')) return { right: false, text: 'it can be nobody’s password' }
      return verdict(await threads.ask({ client, password: text, keytab, service }), service)
    },
    close: () => threads.close(),
  }
}

/** Throws `unavailable` for what is no answer about the user. */
function verdict({ step, code }: Answer, service: string): Verdict {
  if (step === 'done') return { right: true }
  const refusal = step === 'ticket' ? refusals.get(code) : undefined
  if (refusal !== undefined) return { right: false, text: refusal }
  if (step === 'proof') {
    throw unavailable(
      `the KDC did not prove itself: is the key of ${service} in the keytab the one it knows? (${code})`,
    )
  }
  if (step === 'keytab') throw unavailable(`the keytab cannot be read (${code})`)
  throw unavailable(`${troubles.get(code) ?? 'Kerberos failed'} (${step} ${code})`)
}

function unavailable(text: string): StorageError {
  return new StorageError('unavailable', 'passwords cannot be checked now', {
    retryAfter,
    reason: { rule: 'password', text: `Kerberos: ${text}` },
  })
}

interface Job {
  readonly question: Question
  readonly settle: (answer: Answer | StorageError) => void
  settled: boolean
}

class Threads {
  readonly #idle: Worker[] = []
  readonly #busy = new Map<Worker, Job>()
  readonly #queue: Job[] = []
  #closed = false

  ask(question: Question): Promise<Answer> {
    if (this.#closed) throw unavailable('the gateway ends')
    const stuck = [...this.#busy.values()].filter(({ settled }) => settled).length
    if (stuck === most.threads) throw unavailable('no KDC of the realm answers')
    if (this.#queue.length >= most.waiting) {
      throw new StorageError('busy', 'too many sign-ins at once', { retryAfter: 1 })
    }
    return new Promise((resolve, reject) => {
      const job: Job = {
        question,
        settled: false,
        settle: (answer) => {
          if (job.settled) return
          job.settled = true
          clearTimeout(timer)
          if (answer instanceof StorageError) reject(answer)
          else resolve(answer)
        },
      }
      const timer = setTimeout(() => this.#giveUp(job), deadline)
      this.#queue.push(job)
      this.#next()
    })
  }

  close(): void {
    this.#closed = true
    for (const job of [...this.#queue.splice(0), ...this.#busy.values()]) job.settle(unavailable('the gateway ends'))
    // Whether they end is of no concern to anybody: they keep no process alive.
    for (const worker of [...this.#idle.splice(0), ...this.#busy.keys()]) void worker.terminate()
  }

  #giveUp(job: Job): void {
    const at = this.#queue.indexOf(job)
    if (at >= 0) this.#queue.splice(at, 1)
    job.settle(unavailable('no answer in time'))
  }

  #next(): void {
    const [job] = this.#queue
    if (job === undefined) return
    const worker = this.#idle.pop() ?? (this.#busy.size < most.threads ? this.#start() : undefined)
    if (worker === undefined) return
    this.#queue.shift()
    this.#busy.set(worker, job)
    worker.postMessage(job.question)
  }

  #start(): Worker {
    // The same extension as this file: `.ts` in the source tree, `.js` where it was built.
    const file = new URL(`./password-thread${extname(import.meta.url)}`, import.meta.url)
    const worker = new Worker(file, {
      name: 'passwords',
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    })
    worker.unref()
    worker.on('message', (answer: Answer) => {
      this.#busy.get(worker)?.settle(answer)
      this.#busy.delete(worker)
      if (this.#closed) return
      this.#idle.push(worker)
      this.#next()
    })
    // The end of the thread is told by `exit` too.
    worker.on('error', () => {})
    worker.on('exit', () => this.#lose(worker))
    return worker
  }

  #lose(worker: Worker): void {
    this.#busy.get(worker)?.settle(unavailable('the thread that asks has ended'))
    this.#busy.delete(worker)
    const at = this.#idle.indexOf(worker)
    if (at >= 0) this.#idle.splice(at, 1)
    if (!this.#closed && this.#queue.length > 0) this.#next()
  }
}
