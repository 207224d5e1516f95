/** Which keys of a key set (RFC 7517) may verify signatures, and with which algorithm. */

import { importJWK } from 'jose'
import { isObject, type JsonObject, member } from '../json.ts'
import { maxKeyIdLength, maxKeys, rsaBits } from './limits.ts'
import type { Algorithm } from './options.ts'

export interface PublicKey {
  readonly kid: string
  /** Whether the key's type, curve, `use`, `key_ops` and `alg` admit this algorithm. */
  fits(algorithm: Algorithm): boolean
  /** Rejects when the material is no key, such as a point that is not on the curve. */
  import(algorithm: Algorithm): Promise<CryptoKey>
}

export interface KeySet {
  readonly keys: ReadonlyMap<string, readonly PublicKey[]>
  /** Why keys of the set were left out, for `portolan check`. */
  readonly refused: readonly string[]
}

/** Reads the object of a key set; undefined when it is none. Keys that may not be used are left out with a reason. */
export function readKeySet(document: JsonObject): KeySet | undefined {
  const list = member(document, 'keys')
  if (!Array.isArray(list)) return undefined
  const keys = new Map<string, PublicKey[]>()
  const refused: string[] = []
  for (const [index, entry] of list.slice(0, maxKeys).entries()) {
    const key = isObject(entry) ? readKey(entry) : 'is not an object'
    if (typeof key === 'string') refused.push(`key ${index} ${key}`)
    else keys.set(key.kid, [...(keys.get(key.kid) ?? []), key])
  }
  if (list.length > maxKeys) refused.push(`keys after the first ${maxKeys} are not looked at`)
  return { keys, refused }
}

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/** A usable key, or what is wrong with it. */
function readKey(jwk: JsonObject): PublicKey | string {
  const kid = member(jwk, 'kid')
  if (typeof kid !== 'string' || kid === '' || kid.length > maxKeyIdLength) return 'has no usable kid'
  // Whoever publishes a private or shared key has no secret left to sign with.
  if (privateMembers.some((name) => Object.hasOwn(jwk, name))) return 'holds private or symmetric key material'
  const use = member(jwk, 'use')
  if (use !== undefined && use !== 'sig') return 'is not for signatures (use)'
  const operations = member(jwk, 'key_ops')
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return 'is not for verifying (key_ops)'
  }
  const material = readMaterial(jwk)
  if (typeof material === 'string') return material
  const only = member(jwk, 'alg')
  const imported = new Map<Algorithm, Promise<CryptoKey>>()
  return {
    kid,
    fits: (algorithm) => material.algorithms.includes(algorithm) && (only === undefined || only === algorithm),
    import: (algorithm) => {
      const known = imported.get(algorithm)
      if (known !== undefined) return known
      const made = material.import(algorithm)
      imported.set(algorithm, made)
      return made
    },
  }
}

interface Material {
  readonly algorithms: readonly Algorithm[]
  import(algorithm: Algorithm): Promise<CryptoKey>
}

const curves: Readonly<Record<string, readonly Algorithm[]>> = {
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
}

/** Only the public members are handed on, so that nothing else in the JWK (x5u, x5c, oth) has a say. */
function readMaterial(jwk: JsonObject): Material | string {
  const text = (name: string): string => {
    const value = member(jwk, name)
    return typeof value === 'string' ? value : ''
  }
  const kty = text('kty')
  const crv = text('crv')
  if (kty === 'RSA') return readRsa(text('n'), text('e'))
  if (kty === 'EC') {
    const fitting = Object.hasOwn(curves, crv) ? curves[crv] : undefined
    if (fitting === undefined) return 'is of an unknown curve'
    const parts = { kty: 'EC', crv, x: text('x'), y: text('y') } as const
    return { algorithms: fitting, import: (algorithm) => importJWK(parts, algorithm) }
  }
  if (kty === 'OKP' && crv === 'Ed25519') {
    const parts = { kty: 'OKP', crv, x: text('x') } as const
    return { algorithms: ['EdDSA', 'Ed25519'], import: (algorithm) => importJWK(parts, algorithm) }
  }
  return 'is of an unknown type'
}

function readRsa(n: string, e: string): Material | string {
  const modulus = Buffer.from(n, 'base64url')
  const bits = BigInt(`0x0${modulus.toString('hex')}`).toString(2).length
  if (bits < rsaBits.least) return `is an RSA key of fewer than ${rsaBits.least} bits`
  if (bits > rsaBits.most) return `is an RSA key of more than ${rsaBits.most} bits`
  const exponent = BigInt(`0x0${Buffer.from(e, 'base64url').toString('hex')}`)
  // With exponent 1 anyone can sign; a huge one costs a second a signature (FIPS 186-5, section 5.1 bounds it).
  if (exponent < 3n || exponent % 2n === 0n || exponent > 0xffff_ffffn) return 'has a bad RSA exponent'
  const algorithms: readonly Algorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
  return { algorithms, import: (algorithm) => importJWK({ kty: 'RSA', n, e }, algorithm) }
}
