/**
 * Whether a KDC and a keytab know the same keys, for `portolan check`: with the keytab a ticket is asked for, and with that
 * one for each service, which the keytab must open (krb5_get_init_creds_keytab(3), krb5_verify_init_creds(3)).
 */

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { loadLibrary, roomForOptions, roomForTicket } from './krb5.ts'

export interface Trial {
  readonly keytab: string
  /** Principals of the keytab to be, in this order, until the KDC gives one of them a ticket. */
  readonly clients: readonly string[]
  readonly services: readonly string[]
}

/** `code`: a krb5_error_code, see krb5.h; 0 where all was well. */
export interface TrialResult {
  /** There is a libkrb5, and it could be used. */
  readonly library: boolean
  /** How each client fared that was tried. */
  readonly clients: ReadonlyArray<{ readonly name: string; readonly code: number }>
  /** Seconds that our clock is ahead of the KDC's, where it has given a ticket. */
  readonly ahead: number | undefined
  /** How each service fared with the ticket of the last client. */
  readonly services: ReadonlyArray<{ readonly name: string; readonly code: number }>
}

const unusable: TrialResult = { library: false, clients: [], ahead: undefined, services: [] }

/** libkrb5 blocks while it waits for a KDC, so it is asked on a thread of its own. Undefined: no answer within `deadline` ms. */
export async function tryKeytab(trial: Trial, deadline: number): Promise<TrialResult | undefined> {
  // The same extension as this file: `.ts` in the source tree, `.js` where it was built.
  const file = new URL(`./keytab-trial-thread${extname(import.meta.url)}`, import.meta.url)
  const worker = new Worker(file, { name: 'keytab', execArgv: [], workerData: trial })
  worker.unref()
  const { promise, resolve } = Promise.withResolvers<TrialResult | undefined>()
  worker.once('message', resolve)
  // Neither is the silence of a KDC.
  worker.once('error', () => resolve(unusable))
  worker.once('exit', () => resolve(unusable))
  const timer = setTimeout(() => resolve(undefined), deadline)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    // Where libkrb5 still waits it ends when that has given up; nothing is lost by it.
    void worker.terminate()
  }
}

class Refused extends Error {
  readonly code: number

  constructor(code: number) {
    super(String(code))
    this.code = code
  }
}

/** On this thread, for as long as it takes. Never throws for an answer of Kerberos. */
export function tryHere(trial: Trial): TrialResult {
  const ends: Array<() => void> = []
  try {
    loadLibrary()
  } catch {
    return unusable
  }
  try {
    return ask(trial, ends)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    return { ...unusable, library: true, clients: [{ name: trial.keytab, code: error.code }] }
  } finally {
    for (const end of ends.reverse()) end()
  }
}

function ask({ keytab, clients, services }: Trial, ends: Array<() => void>): TrialResult {
  const calls = loadLibrary()
  const context = made((out) => calls.initContext(out))
  ends.push(() => calls.freeContext(context))
  const keys = made((out) => calls.openKeytab(context, `FILE:${keytab}`, out))
  ends.push(() => calls.closeKeytab(context, keys))
  const named = (name: string) => {
    const principal = made((out) => calls.parseName(context, name, out))
    ends.push(() => calls.freePrincipal(context, principal))
    return principal
  }
  const tried: { name: string; code: number }[] = []
  for (const name of clients) {
    const ticket = Buffer.alloc(roomForTicket)
    const code = Number(calls.getTicketByKey(context, ticket, named(name), keys, 0, null, null))
    tried.push({ name, code })
    if (code !== 0) continue
    ends.push(() => calls.freeTicket(context, ticket))
    // The library goes by the KDC's time now, unless krb5.conf forbids it (kdc_timesync); seconds as krb5_timestamp has them.
    const theirs = Number(made((out) => calls.timeOfDay(context, out))) >>> 0
    const ahead = Math.round(Date.now() / 1000 - theirs)
    const opened = services.map((service) => {
      const how = Buffer.alloc(roomForOptions)
      calls.initVerify(how)
      calls.setNoFail(how, 1)
      return { name: service, code: Number(calls.verify(context, ticket, named(service), keys, null, how)) }
    })
    return { library: true, clients: tried, ahead, services: opened }
  }
  return { library: true, clients: tried, ahead: undefined, services: [] }
}

function made(call: (out: unknown[]) => unknown): unknown {
  const out: unknown[] = [null]
  const code = Number(call(out))
  if (code !== 0) throw new Refused(code)
  return out[0]
}
