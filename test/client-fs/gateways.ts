/** A gateway on a directory of our own, and mounts' clients of it. */

import type { Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import type { CredentialSource } from '../../mounts/client/credentials/source.ts'
import { connectFs, type FsOptions } from '../../mounts/client/fs/connect.ts'
import type { RemoteFs } from '../../mounts/client/fs/remote.ts'
import { type GatewayOptions, startTestGateway, type TestGateway } from '../gateway/harness.ts'
import type { UserName } from '../gateway/people.ts'
import { Guarded } from '../gateway/tree.ts'
import { fixedToken } from './fixed-token.ts'

/** /data, where everybody may look and alice may do all. */
export function gatewayWithData(t: Test, options: Omit<GatewayOptions, 'mounts'> = {}): Promise<TestGateway> {
  return startTestGateway(t, {
    ...options,
    mounts: [
      {
        path: '/data',
        make: (top) => {
          const tree = new Guarded(top)
          tree.directory('', 'alice', [
            'A:fd:OWNER@:rwaDdxtTnNcCoy',
            'A:fd:EVERYONE@:rxtncy',
            'A:fd:alice@lab.example:rwaDdxtTnNcCoy',
          ])
        },
      },
    ],
  })
}

export interface Reached {
  readonly url?: string
  readonly user?: UserName
  readonly source?: CredentialSource
}

/** Closed with the test. */
export async function reach(
  t: Test,
  gateway: TestGateway,
  { url = gateway.url, user = 'alice', source }: Reached = {},
  options: Partial<FsOptions> = {},
): Promise<RemoteFs> {
  const credential = source ?? fixedToken(new Secret(await gateway.standingToken(user)), 'the test')
  const fs = await connectFs({ origin: new URL(url), source: credential, ...options })
  t.teardown(() => fs.close())
  return fs
}
