/**
 * Asking a KDC for a ticket with somebody's password, and making the KDC prove itself, by MIT's libkrb5.
 *
 * The npm package `kerberos` has a `checkPassword` too, but believes whoever answers in the KDC's place: it never
 * decrypts a ticket with a key of ours (its own documentation says "do not use this in any production system"). Here a
 * password is right only when the ticket that it gave opens with our keytab (krb5_verify_init_creds(3), ap_req_nofail).
 *
 * Calls block until the KDC answers or libkrb5 gives up, so this is for threads of its own: password-thread.ts.
 */

import koffi, { type LibraryHandle } from 'koffi'

export interface Question {
  /** As "alice@EXAMPLE.ORG". */
  readonly client: string
  /** Without NUL. */
  readonly password: string
  /** File with a key of `service`; read at every question. */
  readonly keytab: string
  /** As "HTTP/gw.example.org@EXAMPLE.ORG". */
  readonly service: string
}

/** At which step it ended: `proof` is the KDC's own, after the password was right. */
export type Step = 'library' | 'name' | 'keytab' | 'ticket' | 'proof' | 'done'

export interface Answer {
  readonly step: Step
  /** A krb5_error_code, see krb5.h; 0 where the step is `done`. */
  readonly code: number
}

class Failure extends Error {
  readonly step: Step
  readonly code: number

  constructor(step: Step, code: number) {
    super(step)
    this.step = step
    this.code = code
  }
}

type LibraryFunction = ReturnType<LibraryHandle['func']>

/** The functions used, in the words of krb5.h; structures are only pointed to. */
const prototypes = {
  initContext: 'int krb5_init_context(_Out_ void **context)',
  freeContext: 'void krb5_free_context(void *context)',
  parseName: 'int krb5_parse_name(void *context, const char *name, _Out_ void **principal)',
  freePrincipal: 'void krb5_free_principal(void *context, void *principal)',
  openKeytab: 'int krb5_kt_resolve(void *context, const char *name, _Out_ void **keytab)',
  closeKeytab: 'int krb5_kt_close(void *context, void *keytab)',
  newOptions: 'int krb5_get_init_creds_opt_alloc(void *context, _Out_ void **options)',
  freeOptions: 'void krb5_get_init_creds_opt_free(void *context, void *options)',
  setLife: 'void krb5_get_init_creds_opt_set_tkt_life(void *options, int life)',
  setForwardable: 'void krb5_get_init_creds_opt_set_forwardable(void *options, int on)',
  setProxiable: 'void krb5_get_init_creds_opt_set_proxiable(void *options, int on)',
  setCanonicalize: 'void krb5_get_init_creds_opt_set_canonicalize(void *options, int on)',
  setChange: 'void krb5_get_init_creds_opt_set_change_password_prompt(void *options, int on)',
  getTicket:
    'int krb5_get_init_creds_password(void *context, void *creds, void *client, const char *password, ' +
    'void *prompter, void *data, int start, const char *service, void *options)',
  getTicketByKey:
    'int krb5_get_init_creds_keytab(void *context, void *creds, void *client, void *keytab, int start, ' +
    'const char *service, void *options)',
  timeOfDay: 'int krb5_timeofday(void *context, _Out_ int *seconds)',
  freeTicket: 'void krb5_free_cred_contents(void *context, void *creds)',
  verify:
    'int krb5_verify_init_creds(void *context, void *creds, void *server, void *keytab, void *cache, void *options)',
  initVerify: 'void krb5_verify_init_creds_opt_init(void *options)',
  setNoFail: 'void krb5_verify_init_creds_opt_set_ap_req_nofail(void *options, int on)',
} as const

type Calls = Readonly<Record<keyof typeof prototypes, LibraryFunction>>

let loaded: Calls | undefined

/** Throws when there is no libkrb5 here. */
export function loadLibrary(): Calls {
  if (loaded) return loaded
  // Some systems build it against an OpenSSL of their own, whose names are also in this program.
  const library = koffi.load('libkrb5.so.3', { deep: true })
  const names = Object.keys(prototypes) as (keyof typeof prototypes)[]
  const functions = names.map((name) => [name, library.func(prototypes[name])] as const)
  loaded = Object.fromEntries(functions) as Record<keyof typeof prototypes, LibraryFunction>
  return loaded
}

/** Seconds; the ticket is thrown away at once. */
const ticketLife = 300
/** More than krb5_creds and krb5_verify_init_creds_opt take on any platform; both are passed on untouched. */
export const roomForTicket = 512
export const roomForOptions = 64

/** Never throws for an answer of Kerberos. Nothing of the password or the ticket is kept. */
export function askForTicket(question: Question): Answer {
  const ends: Array<() => void> = []
  try {
    ask(question, loadLibrary(), ends)
    return { step: 'done', code: 0 }
  } catch (error) {
    if (error instanceof Failure) return { step: error.step, code: error.code }
    return { step: 'library', code: 0 }
  } finally {
    for (const end of ends.reverse()) end()
  }
}

function ask({ client, password, keytab, service }: Question, calls: Calls, ends: Array<() => void>): void {
  const context = made('library', (out) => calls.initContext(out))
  ends.push(() => calls.freeContext(context))
  const parse = (name: string) => {
    const principal = made('name', (out) => calls.parseName(context, name, out))
    ends.push(() => calls.freePrincipal(context, principal))
    return principal
  }
  const [user, server] = [parse(client), parse(service)]
  const keys = made('keytab', (out) => calls.openKeytab(context, `FILE:${keytab}`, out))
  ends.push(() => calls.closeKeytab(context, keys))
  const options = made('library', (out) => calls.newOptions(context, out))
  ends.push(() => calls.freeOptions(context, options))
  calls.setLife(options, ticketLife)
  calls.setForwardable(options, 0)
  calls.setProxiable(options, 0)
  // The KDC shall answer for this name and no other.
  calls.setCanonicalize(options, 0)
  calls.setChange(options, 0)
  const ticket = Buffer.alloc(roomForTicket)
  done('ticket', calls.getTicket(context, ticket, user, password, null, null, 0, null, options))
  ends.push(() => calls.freeTicket(context, ticket))
  const how = Buffer.alloc(roomForOptions)
  calls.initVerify(how)
  calls.setNoFail(how, 1)
  done('proof', calls.verify(context, ticket, server, keys, null, how))
}

function made(step: Step, call: (out: unknown[]) => unknown): unknown {
  const out: unknown[] = [null]
  done(step, call(out))
  return out[0]
}

function done(step: Step, code: unknown): void {
  if (code !== 0) throw new Failure(step, Number(code))
}
