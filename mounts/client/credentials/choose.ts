/** Which credential a long-running client uses: what it is told to, else what it finds. */

import type { Secret } from '../../../acl/secret.ts'
import type { TicketUse } from '../tickets.ts'
import { discoverToken, readTokenFile, type Surroundings, type TokenSource } from '../token.ts'
import { Logins, loginsDirectory } from './logins.ts'
import type { CredentialSource } from './source.ts'
import { StoredLogin } from './stored-login.ts'
import { stampOf, WatchedToken } from './watched.ts'

export interface ChoiceOptions {
  /** Of the gateway: a login is for one. */
  readonly origin: URL
  /** Of the process that the credential is taken from; its own by default. */
  readonly around?: Surroundings | undefined
  /** The one file to take it from. A macaroon in it is sent as any other token. */
  readonly tokenFile?: string | undefined
  /** PEM of authorities to trust, besides the usual ones, at the issuer of a login. */
  readonly ca?: string | undefined
  /** Where there is no token. */
  readonly tickets?: TicketUse | undefined
  readonly log?: ((line: string) => void) | undefined
  /** How files are read, if not as ourselves. With it no logins are used: they are files of ours. */
  readonly readers?: {
    readonly file: (file: string) => Promise<TokenSource>
    readonly discover: () => Promise<TokenSource | undefined>
  }
}

/**
 * A token of the named file; otherwise of BEARER_TOKEN, of the file that BEARER_TOKEN_FILE names, of the usual places
 * (WLCG Bearer Token Discovery), of `portolan login`; otherwise tickets. What others renew is looked for anew.
 */
export function sourceFrom(options: ChoiceOptions): CredentialSource {
  const { around = { env: process.env, uid: process.geteuid?.() ?? 0 }, readers, log, tickets } = options
  const { env, uid } = around
  const read = readers?.file ?? ((file: string) => readTokenFile(file, uid))
  const discover = readers?.discover ?? (() => discoverToken(around))
  const isGiven = env.BEARER_TOKEN !== undefined && env.BEARER_TOKEN.trim() !== ''
  const file = options.tokenFile ?? (isGiven || !env.BEARER_TOKEN_FILE ? undefined : env.BEARER_TOKEN_FILE)
  if (file !== undefined) {
    const stamp = readers ? undefined : () => stampOf(file)
    return new WatchedToken({ place: `the file ${file}`, read: () => read(file), stamp, isNeeded: true, log })
  }
  const place = isGiven ? 'the variable BEARER_TOKEN' : `the usual places (bt_u${uid})`
  const found = new WatchedToken({ place, read: discover, isNeeded: isGiven, log })
  if (isGiven) return found
  const login = readers
    ? undefined
    : new StoredLogin({ logins: new Logins(loginsDirectory(env)), origin: options.origin.origin, ca: options.ca, log })
  return firstOf(login ? [found, login] : [found], tickets)
}

/** The first that has a token. */
function firstOf(sources: readonly CredentialSource[], tickets: TicketUse | undefined): CredentialSource {
  const owners = new WeakMap<Secret, CredentialSource>()
  return {
    tickets,
    async current() {
      for (const each of sources) {
        const token = await each.current()
        if (token === undefined) continue
        owners.set(token, each)
        return token
      }
      return undefined
    },
    refused: async (token) => (await owners.get(token)?.refused(token)) ?? false,
    describe: () => sources.map((each) => each.describe()).join(', or '),
    async close() {
      await Promise.all(sources.map((each) => each.close()))
    },
  }
}
