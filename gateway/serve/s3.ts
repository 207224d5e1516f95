/** The S3 door, put together from the configuration. */

import { createHmac } from 'node:crypto'
import { Counter, type Registry } from 'prom-client'
import type { Identity } from '../../acl/identity/identity.ts'
import type { Config } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import type { StorageOperations } from '../core/storage.ts'
import type { S3Front } from '../http/options.ts'
import { createS3Door, type S3DoorOptions } from '../s3/door.ts'
import { createSts } from '../s3/sts.ts'

interface Parts extends Pick<S3DoorOptions, 'storage'> {
  readonly identity: Pick<Identity, 'authenticate' | 's3'>
  readonly storage: StorageOperations
  readonly registry: Registry
  /** The same in all processes. */
  readonly formKey: Uint8Array
}

/** Undefined where the configuration has no S3. Throws `internal` where nobody knows access keys. */
export function s3Front({ s3, domain }: Config, { identity, storage, registry, formKey }: Parts): S3Front | undefined {
  if (!s3) return undefined
  if (!identity.s3) throw new StorageError('internal', 'there are no access keys')
  const { region, hosts, buckets, root, origins } = s3
  return createS3Door({
    ...{ region, hosts, buckets, origins, domain, storage },
    ...(root !== undefined && { root }),
    keys: identity.s3,
    sts: createSts({ identity, keys: identity.s3 }),
    tokenKey: createHmac('sha256', formKey).update('continuation tokens of S3').digest(),
    observe: countOperations(registry),
  })
}

/** Labels are bounded: names of operations and status codes. */
function countOperations(registry: Registry): NonNullable<S3DoorOptions['observe']> {
  const counter = new Counter({
    name: 'portolan_s3_requests_total',
    help: 'Requests answered by the S3 door',
    labelNames: ['operation', 'status'],
    registers: [registry],
  })
  return ({ operation, status }) => counter.inc({ operation, status: String(status) })
}
