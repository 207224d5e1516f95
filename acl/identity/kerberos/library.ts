/**
 * The npm package `kerberos`, over the system's GSSAPI: it accepts tickets.
 *
 * Which keytab, and which file of tickets seen before, GSSAPI takes from the environment of the process. So both are for
 * good, and they are set before a thread could read the environment meanwhile: `environmentOf` is for whoever starts a
 * process. What is in the keytab is read anew for every ticket.
 */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { KerberosOptions } from './options.ts'

/** Who has shown a ticket, and for which of our names. Texts of the library, as the KDC wrote them. */
export interface Accepted {
  readonly client: string
  readonly target: string
  /** What proves to the client that it is us (RFC 4120, section 3.2.5); absent where it has not asked. */
  readonly answer: Buffer | undefined
}

export interface KerberosLibrary {
  /** Undefined for a token that is not accepted, or needs another leg; `tell` is told why, in the library's words. */
  accept(token: Buffer, tell: (why: string) => void): Promise<Accepted | undefined>
}

type Environment = Readonly<Record<'KRB5_KTNAME' | 'KRB5RCACHENAME', string>>

/** What the environment of a process must say that accepts tickets. */
export function environmentOf({ keytab, replays }: Pick<KerberosOptions, 'keytab' | 'replays'>): Environment {
  return { KRB5_KTNAME: `FILE:${keytab}`, KRB5RCACHENAME: `file2:${replays}` }
}

/** What this process has begun with. */
let used: Environment | undefined

/**
 * Throws `invalid` where the package was not built, with what to do about it, and where this process has begun with
 * another keytab.
 */
export async function openLibrary(options: Pick<KerberosOptions, 'keytab' | 'replays'>): Promise<KerberosLibrary> {
  const wanted = environmentOf(options)
  if (used && (used.KRB5_KTNAME !== wanted.KRB5_KTNAME || used.KRB5RCACHENAME !== wanted.KRB5RCACHENAME)) {
    throw new StorageError('invalid', 'kerberos: another keytab needs a restart')
  }
  const { initializeServer } = await loadPackage()
  for (const [name, value] of Object.entries(wanted)) if (process.env[name] !== value) process.env[name] = value
  used = wanted
  return {
    async accept(token, tell) {
      try {
        // Without a name every key of the keytab may open the ticket, and the name of that key is told.
        const server = await initializeServer('')
        const text = await server.step(token.toString('base64'))
        const { contextComplete, username, targetName } = server
        if (contextComplete && username && targetName) {
          return { client: username, target: targetName, answer: text ? Buffer.from(text, 'base64') : undefined }
        }
        tell('another leg of the negotiation would be needed')
      } catch (error) {
        // The package tells its failures by texts alone; whatever it was, the ticket was not accepted.
        tell(error instanceof Error ? error.message : 'no reason was told')
      }
      return undefined
    },
  }
}

/** Throws `invalid` with what to do where it cannot be used. */
export async function loadPackage(): Promise<Pick<typeof import('kerberos'), 'initializeServer'>> {
  try {
    return (await import('kerberos')).default
  } catch (cause) {
    throw new StorageError(
      'invalid',
      'kerberos: the npm package of this name was not built; on Debian: apt-get install g++ libkrb5-dev, then `npm start` (a source tree) or `npm rebuild kerberos`',
      { cause },
    )
  }
}
