/**
 * Who a macaroon stands for: sealed into its identifier, so that nothing is kept for it and whoever holds it reads
 * neither names nor groups of its issuer.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import type { Grant, GrantKind } from '../principal.ts'
import type { Epoch } from './epochs.ts'

/** What was known of the issuer when the macaroon was made; the rest is looked up anew whenever it is used. */
export interface Snapshot {
  /** Of the macaroon. */
  readonly id: string
  readonly link: boolean
  /** `Principal.id` and `Principal.user` of the issuer. */
  readonly principal: string
  readonly user: string
  /** Groups that the account has not by itself. */
  readonly groups: readonly string[]
  /** Bounds of the issuer's credential; absent if there were none. */
  readonly within?: readonly Grant[]
  /** Milliseconds since 1970 that no macaroon made from it outlives. */
  readonly expires: number
  /** Of the token that the issuer came with. */
  readonly tokenId?: string
  readonly issuer?: string
  /** `Principal.link` of the issuer. */
  readonly linked?: string
  /** `lastingMarks` of the issuer. */
  readonly marks?: readonly string[]
}

const cipher = 'aes-256-gcm'
const ivBytes = 12
const tagBytes = 16
const purpose = 'identifier'
const grammar = /^p1\.([0-9a-z]{8,9}-[0-9a-f]{16})\.([A-Za-z0-9_-]{40,8192})$/

/** An identifier. */
export function sealSnapshot(snapshot: Snapshot, epoch: Epoch): string {
  const { id, link, principal, user, groups, within, expires, tokenId, issuer, linked, marks = [] } = snapshot
  const text = JSON.stringify({
    i: id,
    p: principal,
    u: user,
    x: expires,
    ...(link && { l: 1 }),
    ...(groups.length > 0 && { g: groups }),
    ...(within && { w: within.map(({ kind, path, directoryOnly }) => [kind, path, directoryOnly ? 1 : 0]) }),
    ...(tokenId !== undefined && { t: tokenId }),
    ...(issuer !== undefined && { s: issuer }),
    ...(linked !== undefined && { k: linked }),
    ...(marks.length > 0 && { m: marks }),
  })
  const iv = randomBytes(ivBytes)
  const sealing = createCipheriv(cipher, epoch.key(purpose), iv, { authTagLength: tagBytes })
  sealing.setAAD(Buffer.from(epoch.id))
  const bytes = Buffer.concat([iv, sealing.update(text, 'utf8'), sealing.final(), sealing.getAuthTag()])
  return `p1.${epoch.id}.${bytes.toString('base64url')}`
}

/** The name of the epoch in an identifier; undefined for what is none of ours. */
export function epochOf(identifier: string): string | undefined {
  return grammar.exec(identifier)?.[1]
}

/** Throws `invalid` for what was not sealed in this epoch. */
export function openSnapshot(identifier: string, epoch: Epoch): Snapshot {
  const bytes = Buffer.from(grammar.exec(identifier)?.[2] ?? '', 'base64url')
  if (bytes.length < ivBytes + tagBytes) throw strange()
  const opening = createDecipheriv(cipher, epoch.key(purpose), bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
  opening.setAAD(Buffer.from(epoch.id))
  opening.setAuthTag(bytes.subarray(-tagBytes))
  try {
    const text = Buffer.concat([opening.update(bytes.subarray(ivBytes, -tagBytes)), opening.final()]).toString()
    // Sealed by us, so it is of the form that we gave it.
    const { i, p, u, x, l, g = [], w, t, s, k, m } = JSON.parse(text) as Written
    return {
      id: i,
      link: l === 1,
      principal: p,
      user: u,
      groups: g,
      expires: x,
      ...(w && { within: w.map(([kind, path, only]) => ({ kind, path: parsePath(path), directoryOnly: only === 1 })) }),
      ...(t !== undefined && { tokenId: t }),
      ...(s !== undefined && { issuer: s }),
      ...(k !== undefined && { linked: k }),
      ...(m !== undefined && { marks: m }),
    }
  } catch (cause) {
    throw strange(cause)
  }
}

interface Written {
  readonly i: string
  readonly p: string
  readonly u: string
  readonly x: number
  readonly l?: 1
  readonly g?: readonly string[]
  readonly w?: ReadonlyArray<readonly [GrantKind, Path, 0 | 1]>
  readonly t?: string
  readonly s?: string
  readonly k?: string
  readonly m?: readonly string[]
}

function strange(cause?: unknown): StorageError {
  return new StorageError('invalid', 'not an identifier of ours', { cause })
}
