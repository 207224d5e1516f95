/**
 * What a browser keeps for us between two requests without reading or changing it: nothing has to be kept here for
 * people who never come back.
 */

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import type { Exchange } from './exchange.ts'
import { cookieName, cookieOf, setCookie } from './session-cookie.ts'

const cipher = 'aes-256-gcm'
const ivBytes = 12
const tagBytes = 16
/** Browsers keep no longer ones. */
const maxLength = 3800

/** A Set-Cookie header. Throws nothing; a value that is too long is dropped by the browser, and then is not there. */
export function sealCookie(x: Exchange, name: string, value: object, seconds: number): string {
  const iv = randomBytes(ivBytes)
  const sealing = createCipheriv(cipher, keyOf(x, name), iv, { authTagLength: tagBytes })
  const text = JSON.stringify({ value, until: Date.now() + seconds * 1000 })
  const bytes = Buffer.concat([iv, sealing.update(text, 'utf8'), sealing.final(), sealing.getAuthTag()])
  return setCookie(x, cookieName(x, name), bytes.toString('base64url'), seconds)
}

/** What `sealCookie` was given, within its time; undefined for anything else. */
export function openCookie(x: Exchange, name: string): unknown {
  const sealed = cookieOf(x, cookieName(x, name))
  if (sealed === undefined || sealed.length > maxLength) return undefined
  const bytes = Buffer.from(sealed, 'base64url')
  if (bytes.length < ivBytes + tagBytes) return undefined
  const iv = bytes.subarray(0, ivBytes)
  const opening = createDecipheriv(cipher, keyOf(x, name), iv, { authTagLength: tagBytes })
  opening.setAuthTag(bytes.subarray(-tagBytes))
  try {
    const text = Buffer.concat([opening.update(bytes.subarray(ivBytes, -tagBytes)), opening.final()]).toString()
    // Sealed by us, so it is of the form that we gave it.
    const { value, until } = JSON.parse(text) as { readonly value: unknown; readonly until: number }
    return Date.now() < until ? value : undefined
  } catch {
    // Not of ours, or sealed by a key that has gone.
    return undefined
  }
}

/** A Set-Cookie header that takes it away. */
export function dropCookie(x: Exchange, name: string): string {
  return setCookie(x, cookieName(x, name), '', 0)
}

function keyOf({ door }: Exchange, name: string): Buffer {
  return Buffer.from(hkdfSync('sha256', door.formKey, '', `cookie ${name}`, 32))
}
