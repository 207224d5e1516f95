/** Who is calling: passwords, JWTs, opaque tokens and macaroons (the dCache Book, "gPlazma"; user guide, WebDAV). */

import { createLocalJWKSet, errors, type JWTPayload, jwtVerify } from 'jose'
import { type Activity, anonymousLogin, isBelow, type Login, type Restriction } from './access.ts'
import type { Clock } from './clock.ts'
import type { Macaroons } from './macaroons.ts'
import type { DcacheDoubleOptions, ProviderOptions, UserOptions } from './options.ts'

/** The credential is no good: 401, whatever was asked for. */
export class BadLogin extends Error {}

/** Scopes to activities (the dCache Book, "gPlazma", WLCG profile). */
const scopeActivities: Readonly<Record<string, readonly Activity[]>> = {
  'storage.read': ['LIST', 'READ_METADATA', 'DOWNLOAD'],
  'storage.create': ['READ_METADATA', 'UPLOAD', 'MANAGE', 'UPDATE_METADATA'],
  'storage.modify': ['LIST', 'READ_METADATA', 'UPLOAD', 'MANAGE', 'DELETE', 'UPDATE_METADATA'],
  'storage.stage': ['LIST', 'READ_METADATA', 'DOWNLOAD'],
}

export class Logins {
  readonly #options: DcacheDoubleOptions
  readonly #clock: Clock
  readonly #macaroons: Macaroons

  constructor(options: DcacheDoubleOptions, clock: Clock, macaroons: Macaroons) {
    this.#options = options
    this.#clock = clock
    this.#macaroons = macaroons
  }

  /** `authorization`: the header; `authz`: the query parameter, for a bearer token. Throws BadLogin. */
  async login(authorization: string | undefined, authz: string | null, address: string): Promise<Login> {
    const header = authorization ?? (authz === null ? undefined : `Bearer ${authz}`)
    if (header === undefined) return anonymousLogin
    const [scheme = '', value = ''] = header.split(/ +(.*)/s, 2)
    switch (scheme.toLowerCase()) {
      case 'basic':
        return this.#byPassword(Buffer.from(value, 'base64').toString())
      case 'bearer':
        return value.split('.').length === 3 ? await this.#byJwt(value) : this.#byToken(value, address)
      default:
        throw new BadLogin(`scheme ${scheme}`)
    }
  }

  #byPassword(pair: string): Login {
    const colon = pair.indexOf(':')
    const user = this.#options.users?.find(({ name }) => name === pair.slice(0, colon))
    if (!user?.password || user.password !== pair.slice(colon + 1)) throw new BadLogin('wrong password')
    return loginOf(user, 'password')
  }

  #byToken(token: string, address: string): Login {
    const user = this.#options.users?.find(({ tokens }) => tokens?.includes(token))
    return user ? loginOf(user, 'token') : this.#macaroons.login(token, address)
  }

  async #byJwt(token: string): Promise<Login> {
    for (const provider of this.#options.providers ?? []) {
      const payload = await this.#verified(token, provider)
      if (payload) return this.#mapped(payload, provider)
    }
    throw new BadLogin('token of no known issuer')
  }

  async #verified(token: string, provider: ProviderOptions): Promise<JWTPayload | undefined> {
    try {
      const { payload } = await jwtVerify(token, createLocalJWKSet(provider.jwks), {
        issuer: provider.issuer,
        audience: [...provider.audiences],
        currentDate: new Date(this.#clock.now()),
      })
      return payload
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined
      throw error
    }
  }

  #mapped(payload: JWTPayload, provider: ProviderOptions): Login {
    const { users = [] } = this.#options
    const asserted = Array.isArray(payload['wlcg.groups']) ? payload['wlcg.groups'].map(String) : []
    const gids = asserted.flatMap((group) => provider.groups?.[group] ?? [])
    const own = users.find(({ subjects }) => payload.sub !== undefined && subjects?.[provider.name] === payload.sub)
    const user = own ?? (gids.length > 0 ? users.find(({ name }) => name === provider.fallback) : undefined)
    if (!user) throw new BadLogin('no mapping for this subject')
    const login = loginOf(user, 'token', gids)
    if (provider.profile === 'oidc') return login
    // The WLCG profile insists on its version as text.
    if (payload['wlcg.ver'] !== '1.0') throw new BadLogin('not a WLCG token')
    const restriction = scopeRestriction(String(payload.scope ?? ''), provider.prefix ?? '/')
    if (!restriction) return login
    return { ...login, exempt: true, restrictions: [restriction] }
  }
}

export function loginOf(user: UserOptions, kind: Login['kind'], moreGids: readonly number[] = []): Login {
  return {
    ...anonymousLogin,
    kind,
    name: user.name,
    uid: user.uid,
    gids: [...new Set([...user.gids, ...moreGids])],
    home: user.home ?? '/',
    root: user.root ?? '/',
    isAdmin: user.isAdmin ?? false,
  }
}

/** Undefined for a token without storage scopes: it says who, not what. */
function scopeRestriction(scope: string, prefix: string): Restriction | undefined {
  const grants: { readonly activities: readonly Activity[]; readonly path: string }[] = []
  for (const word of scope.split(' ')) {
    const colon = word.indexOf(':')
    const granted = scopeActivities[colon < 0 ? word : word.slice(0, colon)]
    if (!granted) continue
    const path = `${prefix}/${colon < 0 ? '' : word.slice(colon + 1)}`.replace(/\/+/g, '/').replace(/(.)\/$/, '$1')
    grants.push({ activities: granted, path })
  }
  if (grants.length === 0) return undefined
  return {
    permits: (activity, path) =>
      grants.some(
        (grant) =>
          (grant.activities.includes(activity) && isBelow(path, grant.path)) ||
          ((activity === 'LIST' || activity === 'READ_METADATA') && isBelow(grant.path, path)),
      ),
  }
}
