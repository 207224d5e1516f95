/** A back end over the store in memory, and faults that come a few times. */

import type { Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { S3Backend, type S3Options } from '../../backends/s3/s3.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { Area } from '../backends/conformance/area.ts'
import { TestServices } from '../posix/backend-world.ts'
import { bucket, type Fault, startFake } from './fake.ts'
import { alice, bob, openAcl } from './world.ts'

export const file = parsePath('/file')
export const secret = 'the-secret-key'

export async function setUp(t: Test, more: Partial<S3Options> = {}, tls?: Parameters<typeof startFake>[0]) {
  const fake = await startFake(tls)
  const services = new TestServices()
  const backend = new S3Backend(
    {
      endpoint: fake.endpoint,
      region: 'nowhere',
      bucket,
      prefix: '',
      credentials: async () => ({ accessKeyId: 'key', secretAccessKey: new Secret(secret) }),
      pathStyle: true,
      rootAcl: openAcl,
      stall: 300,
      deadline: 10_000,
      partSize: 5 * 2 ** 20,
      ...more,
    },
    services,
  )
  t.teardown(async () => {
    await backend.close()
    await fake.close()
  })
  const area = new Area({ backend, principals: [alice, bob], cleanup: async () => {} }, root)
  return { fake, backend, area, services }
}

/** A fault for the first `times` requests that match. */
export function sometimes(times: number, matches: (asked: Parameters<Fault>[0]) => boolean, fault: Fault): Fault {
  let left = times
  return (asked, response, store) => matches(asked) && left-- > 0 && fault(asked, response, store)
}
