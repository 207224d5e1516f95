/** Requests for macaroons, as dCache's and XRootD's clients make them (dCache User Guide, "Macaroons"; XrdMacaroons). */

import type { MacaroonOrder } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import { audited } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import { parseDuration } from '../http/iso-duration.ts'
import { receiveWhole } from '../http/receive.ts'
import { respond } from '../http/respond.ts'
import { encodePath } from '../http/target.ts'

const mediaType = 'application/macaroon-request'
/** Bytes of a request. */
const maxBody = 16 * 1024

export function isMacaroonRequest({ request }: Exchange): boolean {
  return request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() === mediaType
}

/** Answers with a macaroon for the path of the request and what lies below; for `/` with one for all. */
export async function sendMacaroon(x: Exchange): Promise<void> {
  const { macaroons, publicUrl } = x.door
  if (!macaroons) throw new StorageError('unsupported', 'no macaroons are made here')
  if (x.principal.user === undefined) {
    throw new StorageError('unauthenticated', 'a credential is needed', {
      reason: { rule: 'anonymous', text: 'only who has a credential can hand on his rights' },
    })
  }
  const wish = readRequest(await receiveWhole(x, maxBody))
  const { macaroon, expires } = await audited(
    x,
    'issue',
    x.path,
    () => macaroons.issue(x.principal, { ...wish, path: x.path }),
    (made) => `macaroon ${made.id} until ${new Date(made.expires).toISOString()}`,
  )
  const target = `${publicUrl}${encodePath(x.path)}${x.slash && x.path !== '/' ? '/' : ''}`
  const base = `${publicUrl}/`
  const text = macaroon.reveal()
  const answer = {
    macaroon: text,
    uri: {
      targetWithMacaroon: `${target}?authz=${text}`,
      baseWithMacaroon: `${base}?authz=${text}`,
      target,
      base,
    },
    expires_in: Math.max(1, Math.floor((expires - Date.now()) / 1000)),
  }
  const guards = ['Cache-Control', 'no-store', 'Pragma', 'no-cache', 'Referrer-Policy', 'no-referrer']
  await respond(x, 200, ['Content-Type', 'application/json', ...guards], `${JSON.stringify(answer)}\n`)
}

/** An empty body asks for what is usual. Members that are not known are ignored, caveats that are not known are not. */
function readRequest(body: Buffer): Omit<MacaroonOrder, 'path'> {
  const { caveats = [], validity } = body.length === 0 ? {} : readObject(body)
  if (!Array.isArray(caveats) || !caveats.every((caveat) => typeof caveat === 'string')) {
    throw new StorageError('invalid', 'caveats is a list of texts')
  }
  if (validity === undefined) return { caveats }
  if (typeof validity !== 'string') throw new StorageError('invalid', 'validity is a duration such as PT1H')
  return { caveats, validity: parseDuration(validity) }
}

function readObject(body: Buffer): { readonly caveats?: unknown; readonly validity?: unknown } {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch (cause) {
    throw new StorageError('invalid', 'the body is not JSON', { cause })
  }
  throw new StorageError('invalid', 'the body is not a JSON object')
}
