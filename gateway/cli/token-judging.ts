/** What a token's own words say about it, without keys and configuration. Pure. */

import { decodeToken } from '../../acl/identity/jwt.ts'
import { harmless } from './output.ts'

export interface Judged {
  /** Absent when it is no signed JWT. */
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
  readonly findings: ReadonlyArray<{
    readonly check: string
    /** Undefined: cannot be told. */
    readonly passed: boolean | undefined
    readonly text: string
  }>
}

type Finding = Judged['findings'][number]

/** Seconds that clocks may differ for times in the future. */
const leeway = 60

/** `now` in ms since 1970. The signature is not looked at. */
export function judge(token: string, now: number): Judged {
  const parts = decodeToken(token)
  if (!parts) return { findings: [{ check: 'form', passed: false, text: 'this is not a signed JWT' }] }
  const { header, payload } = parts
  const seconds = now / 1000
  const findings = [
    algorithmOf(header.alg),
    expiryOf(payload.exp, seconds),
    ...futureOf('nbf', 'not valid before', payload.nbf, seconds),
    ...futureOf('iat', 'issued', payload.iat, seconds),
    audienceOf(payload.aud),
    ...scopesOf(payload.scope),
  ]
  return { header, claims: payload, findings }
}

function algorithmOf(alg: unknown): Finding {
  const name = typeof alg === 'string' ? harmless(alg) : 'none given'
  const passed = typeof alg === 'string' && /^(RS|PS|ES)(256|384|512)$|^Ed(DSA|25519)$/.test(alg)
  const text = passed ? `${name}, a signature by a key pair` : `${name}: only signatures by a key pair are accepted`
  return { check: 'algorithm', passed, text }
}

function expiryOf(exp: unknown, now: number): Finding {
  if (typeof exp !== 'number') return { check: 'exp', passed: false, text: 'no time of expiry' }
  const left = exp - now
  return { check: 'exp', passed: left > 0, text: left > 0 ? `valid for ${span(left)}` : `expired ${span(-left)} ago` }
}

function futureOf(check: string, word: string, time: unknown, now: number): Finding[] {
  if (typeof time !== 'number') return []
  const ahead = time - now
  if (ahead > leeway) return [{ check, passed: false, text: `${word}: ${span(ahead)} from now; is a clock wrong?` }]
  return [{ check, passed: true, text: ahead > 0 ? `${word}: now` : `${word}: ${span(-ahead)} ago` }]
}

function audienceOf(aud: unknown): Finding {
  const names = (Array.isArray(aud) ? aud : aud === undefined ? [] : [aud]).map((one) => harmless(String(one)))
  const text = names.length === 0 ? 'none: for anyone or no one' : `meant for ${names.join(', ')}`
  return { check: 'audience', passed: names.length === 0 ? undefined : true, text }
}

/** Storage scopes one by one; their paths are relative to the issuer's part of the namespace. */
function scopesOf(scope: unknown): Finding[] {
  if (typeof scope !== 'string') return []
  return scope
    .split(' ')
    .filter((one) => /^(storage\.\w+|read|write):/.test(one))
    .map((one) => ({ check: 'scope', passed: true, text: `${harmless(one)} (below the issuer's base path)` }))
}

function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`
}
