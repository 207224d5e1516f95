/** Times as S3 tells them: listings to the millisecond, headers to the second. */

import { unavailable } from './errors.ts'

const second = 1_000_000_000n

/** ns since 1970 in whole seconds, so that a listing and a look say the same. Throws `unavailable` for no time. */
export function wholeSeconds(time: Date | undefined): bigint {
  const milliseconds = time?.getTime() ?? Number.NaN
  if (!Number.isFinite(milliseconds)) throw unavailable('the storage tells no time of an object')
  return BigInt(Math.floor(milliseconds / 1000)) * second
}
