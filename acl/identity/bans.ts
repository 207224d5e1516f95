/** Bans that administrators make by hand, in the same list as revocations. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { RevocationStore } from '../../gateway/state/state.ts'
import type { Bans } from './identity.ts'
import type { Revocations } from './options.ts'
import { type NamingMeans, nameOfCredential } from './token-names.ts'

/**
 * A group is one of some domain or issuer; without that it would be nobody's. Groups of issuers and names of certificates
 * may be in any script.
 */
const grammar =
  /^(?:(?:user|token|macaroon|s3-key):[\x20-\x7e]{1,1024}|principal:[^\p{Cc}\p{Cs}]{1,1024}|group:[^\p{Cc}\p{Cs}]{1,1024}@[a-z0-9_.-]{1,253})$/u
const mostOfOne = 10_000
const maxNote = 200

/** Told at once. */
const mostTold = 10_000

export function createBans(
  store: RevocationStore,
  revocations: () => Revocations | undefined,
  naming: () => NamingMeans,
): Bans {
  return {
    async list({ after = '', most = mostTold } = {}) {
      const part = await store.list({ after, most: Math.min(most, mostTold) })
      const next = part.length === Math.min(most, mostTold) ? part.at(-1)?.name : undefined
      return { bans: part.filter(({ name }) => grammar.test(name)), next }
    },
    nameOf: (credential) => nameOfCredential(credential, naming()),
    async add({ id }, { name, note, until }) {
      if (!grammar.test(name)) {
        throw new StorageError(
          'invalid',
          'a name begins with user:, principal:, token:, macaroon: or s3-key:, or is of the form group:NAME@DOMAIN',
        )
      }
      if (note.length > maxNote) throw new StorageError('invalid', 'the note is too long')
      if (until !== undefined && until <= store.now())
        throw new StorageError('invalid', 'the ban would be over already')
      await store.add({ name, principal: id, note, until }, mostOfOne)
      await revocations()?.refresh?.()
    },
    async remove(name) {
      const found = grammar.test(name) && (await store.remove(name))
      if (!found) throw new StorageError('not-found', 'there is no such ban')
      await revocations()?.refresh?.()
    },
  }
}
