/** POST of application/macaroon-request (user guide, Macaroons, "Requesting a macaroon"). */

import { bodyText } from './bodies.ts'
import type { DoorCall } from './door.ts'
import { Failure } from './failure.ts'
import type { Answer } from './serving.ts'

export async function requestMacaroon({ site, ask, login, base }: DoorCall): Promise<Answer> {
  // Nothing but the very type: a parameter makes it another request.
  if (ask.headers['content-type'] !== 'application/macaroon-request' || site.options.macaroons === false) {
    throw new Failure('unsupported', 'Method Not Allowed')
  }
  try {
    if (site.options.tls === undefined && !site.options.plainMacaroons) {
      throw new Failure('bad-request', 'Not secure transport.')
    }
    const request = parse(await bodyText(ask))
    const macaroon = site.macaroons.issue(login, ask.path, request.caveats, request.validity)
    const target = new URL(ask.url.pathname, base).href
    const uri = {
      targetWithMacaroon: `${target}?authz=${macaroon}`,
      baseWithMacaroon: `${base}?authz=${macaroon}`,
      target,
      base: base.href,
    }
    const headers = { 'Content-Type': 'application/json' }
    return { status: 200, headers, body: `${JSON.stringify({ macaroon, uri }, undefined, 4)}\n` }
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'bad-request') throw error
    // This handler stands before the one that makes pages.
    return { status: 400, headers: { 'Content-Type': 'text/plain' }, body: `${error.message}\n` }
  }
}

function parse(text: string): { readonly caveats: readonly string[]; readonly validity: string | undefined } {
  let json: unknown = {}
  try {
    json = text.trim() === '' ? {} : JSON.parse(text)
  } catch {
    throw new Failure('bad-request', 'Unable to parse JSON')
  }
  const { caveats = [], validity } = json as { caveats?: unknown; validity?: unknown }
  if (!Array.isArray(caveats)) throw new Failure('bad-request', 'Unable to parse JSON')
  return { caveats: caveats.map(String), validity: typeof validity === 'string' ? validity : undefined }
}
