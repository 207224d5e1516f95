/** Bans that administrators make by hand, in the same list as revocations. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { RevocationStore } from '../../gateway/state/state.ts'
import type { Bans } from './identity.ts'
import type { Revocations } from './options.ts'

const grammar = /^(?:user|principal|token|macaroon|s3-key):[\x20-\x7e]{1,1024}$/
const mostOfOne = 10_000
const maxNote = 200

export function createBans(store: RevocationStore, revocations: () => Revocations | undefined): Bans {
  return {
    async list() {
      return (await store.list()).filter(({ name }) => grammar.test(name))
    },
    async add({ id }, { name, note, until }) {
      if (!grammar.test(name)) {
        throw new StorageError('invalid', 'a name begins with user:, principal:, token:, macaroon: or s3-key:')
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
