/** Where a long-running client gets its credential from, again and again. */

import type { Secret } from '../../../acl/secret.ts'
import type { TicketLibrary, TicketUse } from '../tickets.ts'

export interface CredentialSource {
  /**
   * The token to send now, the same object as long as it is the same token. Undefined where there is none to be sent.
   * Throws `unauthenticated`, saying what is missing, where there has to be one.
   */
  current(): Promise<Secret | undefined>
  /** The gateway has not accepted it: whether another one is there now. */
  refused(token: Secret): Promise<boolean>
  /** For messages: where it comes from. Holds no secret. */
  describe(): string
  /** Without a token: signing in with the user's Kerberos ticket. */
  readonly tickets?: TicketUse | undefined
  /** Who has it, where that is not the user who runs us. */
  readonly ticketLibrary?: TicketLibrary | undefined
  close(): Promise<void>
}

/** Nothing is sent, or the user's Kerberos ticket. */
export function withoutToken(tickets?: TicketUse): CredentialSource {
  return {
    current: async () => undefined,
    refused: async () => false,
    describe: () => (tickets === undefined ? 'no credential' : 'the Kerberos ticket cache'),
    tickets,
    close: async () => {},
  }
}
