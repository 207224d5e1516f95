/** A gateway process for behaviour.alone.test.ts: uploads without end, and tells when parts are with the store. */

import { Secret } from '../../acl/secret.ts'
import { S3Backend } from '../../backends/s3/s3.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'
import { act } from '../backends/conformance/area.ts'
import { alice, openAcl } from './world.ts'

const partSize = 5 * 2 ** 20

process.once('message', async (given: Readonly<Record<'endpoint' | 'bucket' | 'key' | 'secret' | 'state', string>>) => {
  const state = await openState({ directory: given.state, timing: { renew: 100, life: 500 } })
  const backend = new S3Backend(
    {
      endpoint: new URL(given.endpoint),
      region: 'us-east-1',
      bucket: given.bucket,
      prefix: '',
      credentials: async () => ({ accessKeyId: given.key, secretAccessKey: new Secret(given.secret) }),
      pathStyle: true,
      partSize,
      rootAcl: openAcl,
    },
    state,
  )
  const { signal } = new AbortController()
  const call = { id: 'crash', principal: alice, protocol: 'internal', from: '127.0.0.1', signal } as const
  const draft = await act(backend.create(parsePath('/file'), {}, call))
  for (let parts = 1; ; parts++) {
    await new Promise((resolve) => draft.body.write(Buffer.alloc(partSize), resolve))
    // With two parts on their way, the third is taken when one has arrived.
    if (parts === 3) process.send?.('parts are there')
  }
})
