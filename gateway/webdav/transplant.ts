/** What COPY and MOVE have in common (RFC 4918, sections 9.8 and 9.9). */

import { StorageError } from '../core/errors.ts'
import { isWithin, type Path } from '../core/path.ts'
import type { Exchange } from '../http/exchange.ts'
import { respond } from '../http/respond.ts'
import { encodePath } from '../http/target.ts'
import { overwriteOf, requireApart } from './headers.ts'
import { sendFailures } from './multistatus.ts'
import { requirePreconditions } from './preconditions.ts'

interface Outcome {
  readonly created: boolean
  readonly failed?: ReadonlyArray<{ readonly path: Path; readonly error: unknown }>
}

/** Checks what both have in their headers, does `work` and answers. */
export async function transplant(
  x: Exchange,
  to: Path,
  work: (options: { readonly overwrite: boolean; readonly replaceWhole: true }) => Promise<Outcome>,
): Promise<void> {
  const options = { overwrite: overwriteOf(x), replaceWhole: true } as const
  requireApart(x, to)
  await requirePreconditions(x)
  const [outcome, failed] = await partial(x, to, () => work(options))
  if (failed.length > 0) return sendFailures(x, failed)
  if (!outcome?.created) return respond(x, 204, [])
  return respond(x, 201, ['Location', `${x.door.publicUrl}${encodePath(to)}`])
}

/** A failure below either path is one of a member, and the answer names it (RFC 4918, section 9.8.3). */
async function partial(
  { path }: Exchange,
  to: Path,
  work: () => Promise<Outcome>,
): Promise<readonly [Outcome | undefined, NonNullable<Outcome['failed']>]> {
  try {
    const outcome = await work()
    return [outcome, outcome.failed ?? []]
  } catch (error) {
    const at = error instanceof StorageError ? error.path : undefined
    const isMember = at !== undefined && [path, to].some((top) => at !== top && isWithin(at, top))
    if (!isMember) throw error
    return [undefined, [{ path: at, error }]]
  }
}
