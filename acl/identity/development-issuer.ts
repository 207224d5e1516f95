/**
 * A token issuer for the demo and for tests, never for production: whoever can read its directory can
 * sign for anyone. Its tokens are verified like all others, from the key set file that it writes.
 */

import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose'
import { StorageError } from '../../gateway/core/errors.ts'
import { isObject, parseObject } from '../json.ts'

export interface DevelopmentIssuer {
  readonly issuer: string
  /** The key set for `keys: { jwksFile }`. */
  readonly jwksFile: string
  /**
   * Signs an access token with ES256. `iss`, `iat`, `nbf`, `exp` (six hours from now) and `jti` are
   * filled in where `claims` has none.
   */
  sign(claims: Readonly<Record<string, unknown>>): Promise<string>
}

/** Makes the key in `directory` (mode 0700, key 0600) at the first call; later calls use the same key. */
export async function createDevelopmentIssuer(directory: string, issuer: string): Promise<DevelopmentIssuer> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const keyFile = join(directory, 'development-key.json')
  const jwksFile = join(directory, 'jwks.json')
  const jwk = (await readKey(keyFile)) ?? (await makeKey(keyFile))
  const { kty, crv, x, y, kid, alg } = jwk
  await writeWhole(jwksFile, JSON.stringify({ keys: [{ kty, crv, x, y, kid, alg, use: 'sig' }] }), 0o644)
  const key = await importJWK(jwk, 'ES256')
  return {
    issuer,
    jwksFile,
    sign: (claims) => {
      const now = Math.floor(Date.now() / 1000)
      const standing = { iss: issuer, iat: now, nbf: now - 60, exp: now + 6 * 3600, jti: randomUUID() }
      const header = { alg: 'ES256', typ: 'at+jwt', kid: jwk.kid ?? '' }
      return new SignJWT({ ...standing, ...claims }).setProtectedHeader(header).sign(key)
    },
  }
}

async function makeKey(file: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk: JWK = { ...(await exportJWK(privateKey)), kid: randomUUID(), alg: 'ES256' }
  await writeWhole(file, JSON.stringify(jwk), 0o600)
  return jwk
}

async function readKey(file: string): Promise<JWK | undefined> {
  try {
    const handle = await open(file, 'r')
    try {
      const { mode } = await handle.stat()
      if ((mode & 0o077) !== 0) throw new StorageError('invalid', `${file} may be read by others`)
      const { object } = parseObject(await handle.readFile())
      if (!isObject(object) || typeof object.kid !== 'string') throw new StorageError('invalid', `${file} is no key`)
      return object as JWK
    } finally {
      await handle.close()
    }
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 'ENOENT') return undefined
    throw error
  }
}

/** Others see the old file or the whole new one. */
async function writeWhole(file: string, text: string, mode: number): Promise<void> {
  const draft = `${file}.${randomUUID()}`
  await writeFile(draft, text, { mode, flag: 'wx' })
  await rename(draft, file)
}
