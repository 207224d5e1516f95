/** Names in ACLs as IBM Storage Scale writes them: "special:owner@", "user:bob", "group:DESY\cms", "user:1001". */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Who } from '../acl.ts'
import { foldDomain, localPart, numericId, whoOf } from '../who.ts'

export interface GpfsOptions {
  /** NFSv4 domain of plain names: "guest" is read as "guest@desy.de" and written as "guest". */
  readonly domain?: string
}

export type GpfsKind = 'special' | 'user' | 'group'

/**
 * Whom a name of a kind stands for. A special name other than owner@, group@ and everyone@ matches nobody. Names of
 * a Windows domain and numbers stay as they are. Throws `invalid` for what cannot be a name.
 */
export function whoOfKind(kind: GpfsKind, name: string, { domain }: GpfsOptions): Who {
  if (kind === 'special') return special(name)
  const isPlain = domain !== undefined && !/[@\\]/.test(name) && numericId(name) === undefined
  const who = whoOf(isPlain ? `${name}@${domain}` : name, kind)
  if (typeof who === 'string' || 'unknown' in who) {
    throw new StorageError('invalid', 'a special name as the name of a user or group')
  }
  return who
}

/** The same from its text. Throws `invalid`. */
export function parseWhoText(text: string, options: GpfsOptions): Who {
  const [, kind, name] = /^(special|user|group):([^:]+)$/.exec(text) ?? []
  if (kind === undefined || name === undefined) throw new StorageError('invalid', 'an entry names nobody')
  return whoOfKind(kind as GpfsKind, name, options)
}

/** The text of an identity. Throws `unsupported` for what GPFS has no word for. */
export function whoText(who: Who, options: GpfsOptions): string {
  if (who === 'OWNER@' || who === 'GROUP@' || who === 'EVERYONE@') return `special:${who.toLowerCase()}`
  if (typeof who === 'object' && 'user' in who) return `user:${plainName(who.user, options)}`
  if (typeof who === 'object' && 'group' in who) return `group:${plainName(who.group, options)}`
  throw new StorageError('unsupported', `GPFS knows only owner@, group@ and everyone@`)
}

/** The name without our own domain. Throws `unsupported` for one that would be read as something else. */
export function plainName(name: string, { domain }: GpfsOptions): string {
  const isOurs = domain !== undefined && foldDomain(name).endsWith(`@${domain.toLowerCase()}`)
  const text = isOurs ? localPart(name) : name
  if (/[:\r\n]/.test(text) || text.trim() !== text) {
    throw new StorageError('unsupported', 'a name in the ACL cannot be written as GPFS ACL text')
  }
  return text
}

function special(name: string): Who {
  if (name === 'owner@') return 'OWNER@'
  if (name === 'group@') return 'GROUP@'
  return name === 'everyone@' ? 'EVERYONE@' : { unknown: name }
}
