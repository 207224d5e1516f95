/** RestoreObject (Amazon S3 API Reference): the tape queue, asked in the words of S3. */

import { maxLifetime } from '../core/staging.ts'
import { respond } from '../http/respond.ts'
import { objectEntry } from './current-object.ts'
import { S3Error } from './error.ts'
import { requireOnlyVersion } from './object-version.ts'
import { isWaiting, restoreKey } from './restore-status.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { verifiedWhole } from './verified-body.ts'
import { childOf, malformed, parseRoot, textIn } from './xml.ts'

const maxBody = 16 * 1024
const day = 86_400
const tiers: ReadonlySet<string> = new Set(['Standard', 'Bulk', 'Expedited'])

export const restoreObject: Operation<ObjectRequest> = async (request) => {
  requireOnlyVersion(request.query)
  const lifetime = lifetimeIn(await verifiedWhole(request, maxBody, false))
  const { x, call, path } = request
  const { storage } = x.door
  const entry = await objectEntry(request)
  const isThere = entry.locality === 'disk-and-tape'
  if (entry.locality !== 'tape' && !isThere) throw active()
  const key = restoreKey(path)
  const before = await storage.staging.find(call, key)
  if (before?.files.some(isWaiting)) {
    throw new S3Error('RestoreAlreadyInProgress', 'Object restore is already in progress')
  }
  // The queue takes files that their caller may not bring, and tells it later of each.
  const { actions } = await storage.rights(call, path)
  if (!actions.includes('stage')) throw new S3Error('AccessDenied', 'Access Denied')
  // What is over makes room for another one, which may keep the file for longer.
  if (before) await storage.staging.forget(call, before.id)
  await storage.staging.stage(call, [{ path, lifetime }], { key })
  await respond(x, isThere ? 200 : 202, [])
}

/** Seconds. Throws MalformedXML. */
function lifetimeIn(bytes: Uint8Array): number {
  const root = parseRoot(bytes, 'RestoreRequest')
  if (childOf(root, 'SelectParameters') || childOf(root, 'OutputLocation')) {
    throw new S3Error('NotImplemented', 'Objects are restored, and not searched.')
  }
  const days = textIn(root, 'Days')?.trim() ?? ''
  const parameters = childOf(root, 'GlacierJobParameters')
  const tier = (parameters ? textIn(parameters, 'Tier') : textIn(root, 'Tier'))?.trim()
  if (tier !== undefined && !tiers.has(tier)) throw malformed('there is no such Tier')
  if (!/^[1-9]\d{0,6}$/.test(days)) throw malformed('Days is a number, 1 at least')
  return Math.min(maxLifetime, Number(days) * day)
}

function active(): S3Error {
  return new S3Error(
    'ObjectAlreadyInActiveTierError',
    'Restore is not allowed as the object is already in the active tier',
  )
}
