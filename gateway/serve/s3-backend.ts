/** An object store, as a configuration describes it. */

import type { Acl } from '../../acl/acl.ts'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { S3Backend } from '../../backends/s3/s3.ts'
import type { MountConfig } from '../config.ts'
import { readText } from './files.ts'
import { type Means, readWord, type Section } from './making.ts'

/** Nothing is asked of the store yet. */
export async function makeS3(mount: MountConfig, section: Section<'s3'>, { services, log }: Means): Promise<S3Backend> {
  const { endpoint, region, bucket, prefix, accessKeyId, secretAccessKey } = section
  const { pathStyle, ca, partSize, connections, stall, rootAcl } = section
  const name = `s3:${bucket}/${prefix}`
  return new S3Backend(
    {
      ...{ name, region, bucket, prefix, pathStyle, partSize, connections, stall },
      endpoint: new URL(endpoint),
      credentials: async () => ({ accessKeyId, secretAccessKey: await readWord(secretAccessKey) }),
      ...(ca !== undefined && { ca: await readText(ca) }),
      ...(rootAcl && { rootAcl: aclOf(rootAcl) }),
      deadline: mount.deadline,
      log: (message, cause) => log.warn({ backend: name, err: cause }, message),
    },
    services,
  )
}

function aclOf({ owner, group, entries }: NonNullable<Section<'s3'>['rootAcl']>): Acl {
  return { owner, group, aces: parseNfs4Text(entries.join('\n'), 'directory'), dialect: 'rfc8881' }
}
