/** From an entry to a person: one name, numbers that are numbers, and whether the account may be used. */

import { accountName } from '../names.ts'
import { quoted } from '../refusal.ts'
import { nameIn } from './dn.ts'
import type { LdapEntry } from './entry.ts'
import type { LdapSchema } from './schema.ts'

export interface Person {
  readonly dn: string
  readonly name: string
  readonly uid: number | undefined
  readonly gid: number | undefined
  readonly mail: string | undefined
  /** Security identifier of the primary group: Active Directory's. */
  readonly primaryGroup: Buffer | undefined
  /** Milliseconds since 1970 from which on the account is closed; Infinity where that is not known. */
  readonly expires: number
}

/** Why an entry is nobody; for the audit log and `explain`. */
export class Unusable {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** `now`: milliseconds since 1970. */
export function readPerson(entry: LdapEntry, schema: LdapSchema, now: number): Person | Unusable {
  const name = readName(entry, schema.user.name)
  if (name instanceof Unusable) return name
  // Other characters have ASCII ones as their lower case: the Kelvin sign becomes a k.
  const stored = schema.lowerCase && /^[\x21-\x7e]+$/.test(name) ? name.toLowerCase() : name
  if (!accountName.test(stored))
    return new Unusable(`the directory writes the name as ${quoted(name)}, which is no account name`)
  const expiry = expiryOf(entry)
  const closed = now >= expiry.at ? `has expired (${expiry.by})` : whyClosed(entry)
  if (closed !== undefined) return new Unusable(`the account of ${stored} ${closed}`)
  const uid = readNumber(entry, schema.user.uid)
  const gid = readNumber(entry, schema.user.gid)
  if (uid instanceof Unusable) return uid
  if (gid instanceof Unusable) return gid
  const primaryGroup = schema.kind === 'ad' ? primaryGroupOf(entry) : undefined
  if (uid !== undefined && gid === undefined && primaryGroup === undefined) {
    return new Unusable(`${stored} has a uid number, but no group number`)
  }
  const mail = readMail(entry, schema.user.mail)
  return { dn: entry.dn, name: stored, uid, gid, mail, primaryGroup, expires: expiry.at }
}

/** The one value, or of several the one that names the entry: two names for one person would be two people to ACLs. */
export function readName(entry: LdapEntry, attribute: string): string | Unusable {
  const names = entry.texts(attribute)
  if (names === undefined) return new Unusable(`${attribute} holds bytes that are no text`)
  const [first, ...more] = names
  if (first === undefined) return new Unusable(`the entry has no ${attribute} that we may read`)
  if (more.length === 0) return first
  const own = nameIn(entry.dn, attribute)?.toLowerCase()
  const named = names.find((name) => name.toLowerCase() === own)
  return named ?? new Unusable(`${attribute} has ${names.length} values, none of which names the entry`)
}

const largestId = 4_294_967_293

/** Undefined where there is none. */
export function readNumber(entry: LdapEntry, attribute: string): number | undefined | Unusable {
  const values = entry.texts(attribute)
  if (values === undefined) return new Unusable(`${attribute} holds bytes that are no number`)
  const [value, ...more] = values
  if (value === undefined) return undefined
  if (more.length > 0) return new Unusable(`${attribute} has ${values.length} values`)
  const number = /^(0|[1-9]\d{0,9})$/.test(value) ? Number(value) : Number.NaN
  return number <= largestId ? number : new Unusable(`${attribute} is ${quoted(value)}, which is no id`)
}

function readMail(entry: LdapEntry, attribute: string): string | undefined {
  const [mail] = entry.texts(attribute) ?? []
  return mail !== undefined && /^[^\s@\p{Cc}]{1,64}@[^\s@\p{Cc}]{1,189}$/u.test(mail) ? mail : undefined
}

const day = 86_400_000
/** 100 ns since 1601, as Active Directory counts; 0 and the largest number mean never. */
const fileTimeOf1970 = 116_444_736_000_000_000n
const never = 9_223_372_036_854_775_807n
const accountDisable = 2

/** What a directory says about an account that is not to be used; an attribute that cannot be read closes it. */
function whyClosed(entry: LdapEntry): string | undefined {
  const [control] = entry.texts('userAccountControl') ?? ['']
  if (control !== undefined && (!/^-?\d{1,10}$/.test(control) || (Number(control) & accountDisable) !== 0)) {
    return 'is disabled (userAccountControl)'
  }
  const [locked] = entry.texts('nsAccountLock') ?? ['true']
  if (locked !== undefined && locked.toLowerCase() !== 'false') return 'is locked (nsAccountLock)'
  // draft-behera-ldap-password-policy, section 5.3.3: this value is for good. Any other one comes from wrong passwords, and
  // who guesses those must not lock somebody out who has a ticket or a token.
  const [time] = entry.texts('pwdAccountLockedTime') ?? ['000001010000Z']
  return time === '000001010000Z' ? 'is locked (pwdAccountLockedTime)' : undefined
}

/** When the account ends by itself, and what says so; a time that cannot be read is long ago. */
function expiryOf(entry: LdapEntry): { readonly at: number; readonly by: string } {
  const [expires = '0'] = entry.texts('accountExpires') ?? ['']
  const [shadow = '-1'] = entry.texts('shadowExpire') ?? ['']
  const [one, other] = [fromFileTime(expires), fromDays(shadow)]
  return one <= other ? { at: one, by: 'accountExpires' } : { at: other, by: 'shadowExpire' }
}

function fromFileTime(text: string): number {
  if (!/^\d{1,19}$/.test(text)) return Number.NEGATIVE_INFINITY
  const time = BigInt(text)
  return time === 0n || time === never ? Number.POSITIVE_INFINITY : Number((time - fileTimeOf1970) / 10_000n)
}

/** shadow(5): days since 1970; -1 is never. On the day itself pam_unix refuses already. */
function fromDays(text: string): number {
  if (text === '-1') return Number.POSITIVE_INFINITY
  return /^\d{1,10}$/.test(text) ? Number(text) * day : Number.NEGATIVE_INFINITY
}

/** The domain of the person's own identifier with the number of the group ([MS-DTYP], section 2.4.2.2). */
function primaryGroupOf(entry: LdapEntry): Buffer | undefined {
  const sid = entry.bytes('objectSid')
  const [number] = entry.texts('primaryGroupID') ?? []
  if (sid === undefined || number === undefined || !/^\d{1,10}$/.test(number)) return undefined
  const count = sid[1] ?? 0
  if (sid[0] !== 1 || count < 2 || count > 15 || sid.length !== 8 + 4 * count || Number(number) > 0xffffffff)
    return undefined
  const group = Buffer.from(sid)
  group.writeUInt32LE(Number(number), sid.length - 4)
  return group
}
