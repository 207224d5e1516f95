/** Macaroons of the door: asking for one, and what its caveats mean (user guide, Macaroons). */

import { randomBytes } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import {
  attenuate,
  createMacaroon,
  isIntact,
  type Macaroon,
  parseMacaroon,
  serializeMacaroon,
} from '../../../acl/macaroon.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { type Activity, activities, activityRestriction, type Login, pathRestriction } from './access.ts'
import type { Clock } from './clock.ts'
import { Failure } from './failure.ts'
import { BadLogin, loginOf } from './login.ts'
import type { DcacheDoubleOptions } from './options.ts'

const day = 86_400_000

export class Macaroons {
  readonly #options: DcacheDoubleOptions
  readonly #clock: Clock
  readonly #keys = new Map<string, Buffer>()

  constructor(options: DcacheDoubleOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  /** All macaroons given out so far are void. */
  revoke(): void {
    this.#keys.clear()
  }

  /** Throws `bad-request` for caveats that cannot be, and for a login that cannot ask. */
  issue(login: Login, path: string, wanted: readonly string[], validity: string | undefined): string {
    if (login.uid === undefined) throw new Failure('bad-request', 'User not authenticated.')
    if (login.exempt) throw new Failure('bad-request', 'Cannot serialise restriction MultiTargetedRestriction')
    const befores: string[] = []
    const others: string[] = []
    for (const caveat of wanted) {
      const [key] = split(caveat)
      if (key === 'id' || key === 'iid' || !(key in caveatKinds)) throw new Failure('bad-request', `caveat ${key}`)
      checkValue(caveat)
      if (key === 'before') befores.push(caveat)
      else others.push(caveat)
    }
    if (validity !== undefined) befores.push(`before:${instant(this.#clock.now() + durationOf(validity))}`)
    const server = login.kind === 'macaroon' ? login.caveats : this.#serverCaveats(login)
    const inPath = relative(login, join('', path))
    const caveats = [...server, ...(inPath === '/' ? [] : [`path:${inPath}`]), ...others]
    caveats.push(...this.#expiry(befores, server))
    const identifier = randomBytes(6).toString('base64url')
    const rootKey = randomBytes(32)
    this.#keys.set(identifier, rootKey)
    return serializeMacaroon(attenuate(createMacaroon({ location: 'dCache', identifier, rootKey }), ...caveats), 'v1')
  }

  login(token: string, address: string): Login {
    const macaroon = this.#genuine(token)
    const user = this.#user(macaroon.caveats)
    let root = user.root
    let prefix = ''
    let allowed: ReadonlySet<Activity> | undefined
    let maxUpload = Number.POSITIVE_INFINITY
    for (const caveat of macaroon.caveats) {
      const [kind, value] = split(caveat)
      if (!(kind in caveatKinds)) throw new BadLogin(`unknown caveat ${kind}`)
      if (kind === 'before' && this.#clock.now() >= Date.parse(value)) throw new BadLogin('expired')
      if (kind === 'ip' && !matchesAddress(value, address)) throw new BadLogin('not from this address')
      if (kind === 'root') root = join(root, value)
      if (kind === 'path') prefix = join(prefix, value)
      if (kind === 'max-upload') maxUpload = Math.min(maxUpload, Number(value))
      if (kind === 'activity') {
        const more = new Set(value.split(',').filter(isActivity))
        allowed = allowed ? allowed.intersection(more) : more
      }
    }
    const restrictions = [
      ...(prefix === '' ? [] : [pathRestriction(join(root, prefix))]),
      ...(allowed ? [activityRestriction(allowed)] : []),
    ]
    return { ...user, root, maxUpload, restrictions, caveats: macaroon.caveats }
  }

  #genuine(token: string): Macaroon {
    const macaroon = this.#options.macaroons === false ? undefined : parsed(token)
    const key = macaroon && this.#keys.get(macaroon.identifier)
    if (!macaroon || !key || !isIntact(macaroon, key)) throw new BadLogin('not a macaroon of ours')
    return macaroon
  }

  #serverCaveats({ uid, gids, name, home, root }: Login): string[] {
    const iid = randomBytes(6).toString('base64url')
    const id = `id:${uid};${gids.join(',')};${name}`
    return [`iid:${iid}`, id, ...(root === '/' ? [] : [`root:${root}`]), ...(home === '/' ? [] : [`home:${home}`])]
  }

  /** A lifetime beyond the maximum is refused, not cut. */
  #expiry(befores: readonly string[], server: readonly string[]): string[] {
    const now = this.#clock.now()
    const limits = this.#options.macaroons || {}
    const latest = now + (limits.maxLifetime ?? 7 * day)
    const session = server.map(split).flatMap(([kind, value]) => (kind === 'before' ? [Date.parse(value)] : []))
    const asked = befores.map((caveat) => Date.parse(split(caveat)[1]))
    const end = asked.length > 0 ? Math.min(...asked) : Math.min(now + (limits.defaultLifetime ?? day), ...session)
    if (end <= now) throw new Failure('bad-request', 'before: requested expiry in past')
    if (end > latest) throw new Failure('bad-request', 'before: requested duration beyond maximum allowed')
    if (session.some((limit) => end > limit)) throw new Failure('bad-request', 'before: cannot extend session lifetime')
    return [`before:${instant(end)}`]
  }

  #user(caveats: readonly string[]): Login {
    const ids = caveats.filter((caveat) => caveat.startsWith('id:'))
    const [uid = '', gids = '', name = ''] = (ids[0] ?? '').slice(3).split(';')
    if (ids.length !== 1 || !/^\d+$/.test(uid)) throw new BadLogin('no identity')
    const home = caveats.findLast((caveat) => caveat.startsWith('home:'))?.slice(5) ?? '/'
    const user = { name, uid: Number(uid), gids: gids.split(',').map(Number), home }
    return loginOf(user, 'macaroon')
  }
}

const caveatKinds: Readonly<Record<string, true>> = {
  iid: true,
  id: true,
  home: true,
  root: true,
  path: true,
  activity: true,
  before: true,
  ip: true,
  'max-upload': true,
}

function parsed(token: string): Macaroon | undefined {
  try {
    return parseMacaroon(token).macaroon
  } catch (error) {
    if (error instanceof StorageError) return undefined
    throw error
  }
}

function checkValue(caveat: string): void {
  const [kind, value] = split(caveat)
  const isGood =
    kind === 'activity'
      ? value.split(',').every(isActivity)
      : kind === 'before'
        ? !Number.isNaN(Date.parse(value))
        : kind === 'ip'
          ? value.split(',').every((part) => isIP(part.split('/')[0] ?? '') !== 0)
          : kind === 'max-upload'
            ? /^\d+$/.test(value)
            : value.startsWith('/')
  if (!isGood) throw new Failure('bad-request', `bad value of ${kind}`)
}

/** The part of a path that is below the macaroon's own. */
function relative(login: Login, path: string): string {
  const own = login.caveats.map(split).flatMap(([kind, value]) => (kind === 'path' ? [value] : []))
  const prefix = own.reduce(join, '')
  if (path === '/' || prefix === '') return path
  if (path !== prefix && !path.startsWith(`${prefix}/`)) {
    throw new Failure('bad-request', 'Bad request path: Desired path not within existing path')
  }
  return path.slice(prefix.length) || '/'
}

function split(caveat: string): readonly [string, string] {
  const colon = caveat.indexOf(':')
  return colon < 0 ? [caveat, ''] : [caveat.slice(0, colon), caveat.slice(colon + 1)]
}

function join(first: string, second: string): string {
  return `/${`${first}/${second}`.split('/').filter(Boolean).join('/')}`
}

function isActivity(name: string): name is Activity {
  return (activities as readonly string[]).includes(name)
}

function matchesAddress(list: string, address: string): boolean {
  const allowed = new BlockList()
  for (const part of list.split(',')) {
    const [network = '', bits] = part.split('/')
    const family = isIP(network) === 6 ? 'ipv6' : 'ipv4'
    if (isIP(network) === 0) continue
    if (bits === undefined) allowed.addAddress(network, family)
    else allowed.addSubnet(network, Number(bits), family)
  }
  return allowed.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

function instant(ms: number): string {
  return new Date(ms).toISOString()
}

/** ISO 8601, as java.time.Duration reads it: days and smaller; years and months are refused. */
export function durationOf(text: string): number {
  const match = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?$/.exec(text)
  if (!match || !/\d/.test(text)) throw new Failure('bad-request', `Bad validity value: ${text}`)
  const [days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0))
  return (((days ?? 0) * 24 + (hours ?? 0)) * 60 + (minutes ?? 0)) * 60_000 + (seconds ?? 0) * 1000
}
