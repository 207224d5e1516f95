/** A credential that is always the same. */

import type { Secret } from '../../acl/secret.ts'
import type { CredentialSource } from '../../mounts/client/credentials/source.ts'

/** `from`: for messages. */
export function fixedToken(token: Secret, from: string): CredentialSource {
  return {
    current: async () => token,
    refused: async () => false,
    describe: () => from,
    close: async () => {},
  }
}
