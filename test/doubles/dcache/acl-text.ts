/** ACLs as dCache's administrators write them: SUBJECT:±MASK[:FLAGS] (the dCache Book, "ACLs in dCache"). */

import { Failure } from './failure.ts'

export type DcacheWho = 'USER' | 'GROUP' | 'OWNER@' | 'GROUP@' | 'EVERYONE@' | 'ANONYMOUS@' | 'AUTHENTICATED@'

export interface DcacheAce {
  readonly who: DcacheWho
  /** uid or gid; undefined for the special subjects. */
  readonly id: number | undefined
  readonly allow: boolean
  readonly mask: number
  /** Letters f (files), d (directories), o (inherit only) and g (group). */
  readonly flags: string
}

/** One bit has a letter for files and one for directories, as in RFC 8881, section 6.2.1.3. */
export const bit = { r: 1, l: 1, w: 2, f: 2, a: 4, s: 4, n: 8, N: 16, x: 32, D: 64, t: 128, T: 256 } as const
export const bits = { ...bit, d: 0x10000, c: 0x20000, C: 0x40000, o: 0x80000, y: 0x100000 } as const

const special: ReadonlySet<string> = new Set(['OWNER@', 'GROUP@', 'EVERYONE@', 'ANONYMOUS@', 'AUTHENTICATED@'])

/** Reads one entry, for example `USER:1000:+rx:fd` or `EVERYONE@:-w`. */
export function parseAce(text: string): DcacheAce {
  const parts = text.split(':')
  const who = parts.shift() ?? ''
  const isNamed = who === 'USER' || who === 'GROUP'
  const id = isNamed ? Number(parts.shift()) : undefined
  const [access = '', flags = '', more] = parts
  const known = isNamed ? Number.isSafeInteger(id) : special.has(who)
  if (!known || more !== undefined || !/^[+-][a-zA-Z]+$/.test(access) || !/^[fdog]*$/.test(flags)) {
    throw new Failure('bad-request', `not an ACL entry: ${text}`)
  }
  let mask = 0
  for (const letter of access.slice(1)) {
    const value = (bits as Readonly<Record<string, number>>)[letter]
    if (value === undefined) throw new Failure('bad-request', `not an access right: ${letter}`)
    mask |= value
  }
  return { who: who as DcacheWho, id, allow: access.startsWith('+'), mask, flags }
}

export interface AclSubject {
  readonly uid: number | undefined
  readonly gids: readonly number[]
}

/** The first entry that speaks about a bit decides it; undefined where some bit is spoken of by none. */
export function decideAcl(
  aces: readonly DcacheAce[],
  subject: AclSubject,
  object: { readonly owner: number; readonly group: number },
  wanted: number,
): boolean | undefined {
  let open = wanted
  for (const ace of aces) {
    if (ace.flags.includes('o') || (ace.mask & open) === 0 || !speaksTo(ace, subject, object)) continue
    if (!ace.allow) return false
    open &= ~ace.mask
    if (open === 0) return true
  }
  return undefined
}

function speaksTo(
  ace: DcacheAce,
  { uid, gids }: AclSubject,
  object: { readonly owner: number; readonly group: number },
): boolean {
  switch (ace.who) {
    case 'USER':
      return uid === ace.id
    case 'GROUP':
      return ace.id !== undefined && gids.includes(ace.id)
    case 'OWNER@':
      return uid === object.owner
    case 'GROUP@':
      return gids.includes(object.group)
    case 'EVERYONE@':
      return true
    case 'ANONYMOUS@':
      return uid === undefined
    case 'AUTHENTICATED@':
      return uid !== undefined
  }
}
