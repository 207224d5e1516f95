/**
 * What stands for a ticket for a few minutes, so that not every request needs one: the name it was for, sealed. Nothing
 * is kept for it, any process opens it, and it is not bound to a connection, which proxies share between people.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { Secret } from '../../secret.ts'
import type { Epoch, Epochs } from '../epochs.ts'

/** Times are milliseconds since 1970. */
export interface TicketNote {
  /** The Kerberos name. */
  readonly name: string
  readonly issued: number
  readonly expires: number
}

const cipher = 'aes-256-gcm'
const ivBytes = 12
const tagBytes = 16
const purpose = 'kerberos-cookie'
const grammar = /^k1\.([0-9a-z]{8,9}-[0-9a-f]{16})\.([A-Za-z0-9_-]{40,1024})$/

export function sealTicket({ name, issued, expires }: TicketNote, epoch: Epoch): Secret {
  const iv = randomBytes(ivBytes)
  const sealing = createCipheriv(cipher, epoch.key(purpose), iv, { authTagLength: tagBytes })
  sealing.setAAD(Buffer.from(epoch.id))
  const plain = JSON.stringify([name, issued, expires])
  const bytes = Buffer.concat([iv, sealing.update(plain, 'utf8'), sealing.final(), sealing.getAuthTag()])
  return new Secret(`k1.${epoch.id}.${bytes.toString('base64url')}`)
}

/** Undefined for what was not made here, was changed, or whose key has gone. When it ends is for the caller to look at. */
export async function openTicket(text: string, epochs: Epochs): Promise<TicketNote | undefined> {
  const [, id, body = ''] = grammar.exec(text) ?? []
  const epoch = id === undefined ? undefined : await epochs.find(id)
  const bytes = Buffer.from(body, 'base64url')
  // One note has one text: what decoding would pass over is not part of it.
  if (epoch === undefined || bytes.toString('base64url') !== body) return undefined
  const iv = bytes.subarray(0, ivBytes)
  const opening = createDecipheriv(cipher, epoch.key(purpose), iv, { authTagLength: tagBytes })
  opening.setAAD(Buffer.from(epoch.id))
  opening.setAuthTag(bytes.subarray(-tagBytes))
  try {
    const plain = Buffer.concat([opening.update(bytes.subarray(ivBytes, -tagBytes)), opening.final()]).toString()
    // Sealed by us, so it is of the form that we gave it.
    const [name, issued, expires] = JSON.parse(plain) as readonly [string, number, number]
    return { name, issued, expires }
  } catch {
    // Whatever is wrong with it, it is none of ours.
    return undefined
  }
}
