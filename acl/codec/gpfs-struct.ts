/**
 * The structure gpfs_acl_t that gpfs_getacl and gpfs_putacl take with GPFS_GETACL_STRUCT (gpfs.h of IBM Storage
 * Scale): words of 32 bits in the machine's own order.
 *
 *     acl_len  acl_level  acl_version  acl_type  acl_nace  [acl_flags, at level 1]
 *     then per entry: aceType  aceFlags  aceIFlags  aceMask  aceWho
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Ace, type AceType, aceFlag, maxAces, type SpecialWho, type Who } from '../acl.ts'
import { makeAce, numericId } from '../who.ts'

/** A list as it is in the structure: without owner and group. */
export interface GpfsStruct {
  readonly aces: readonly Ace[]
  /** As in Acl; undefined at level 0. */
  readonly flags?: number
}

const words = { length: 0, level: 1, version: 2, type: 3, count: 4, flags: 5 } as const
const wordsOfEntry = 5
const versions = { posix: 1, nfs4WithFlags: 3, nfs4: 4 } as const
const typeNfs4 = 3
const specialId = 0x80000000
const allRights = 0x1f01ff
const allFlags = 0xff
const types: readonly AceType[] = ['allow', 'deny', 'audit', 'alarm']
/** ACE4_SPECIAL_OWNER, _GROUP and _EVERYONE are 1, 2 and 3. */
const specials: readonly SpecialWho[] = ['OWNER@', 'GROUP@', 'EVERYONE@']
/** ACL4_FLAG_DACL_AUTO_INHERITED, _PROTECTED and _DEFAULTED, and what they are in a dacl. */
const listFlags: ReadonlyArray<readonly [gpfs: number, dacl: number]> = [
  [0x00040000, 1],
  [0x00100000, 2],
  [0x00000800, 4],
]

/** What is written into the first words of a buffer of `size` bytes before it is filled by gpfs_getacl. */
export function requestGpfsStruct(buffer: Uint8Array, size: number): void {
  new Uint32Array(buffer.buffer, buffer.byteOffset, 5).set([size, 0, versions.nfs4, typeNfs4, 0])
}

/**
 * Reads what gpfs_getacl filled in. Undefined for a traditional ACL. Throws `invalid` for anything whose numbers do
 * not fit together.
 */
export function decodeGpfsStruct(bytes: Uint8Array): GpfsStruct | undefined {
  const whole = wordsOf(bytes)
  const word = (index: number) => whole[index] ?? 0
  if (whole.length < words.flags) throw malformed('it has no head')
  const version = word(words.version)
  if (version === versions.posix) return undefined
  if (version !== versions.nfs4 && version !== versions.nfs4WithFlags) throw malformed('its version is unknown')
  const level = word(words.level)
  if (level > 1 || word(words.type) !== typeNfs4) throw malformed('its kind is unknown')
  const start = words.flags + level
  const count = word(words.count)
  const length = word(words.length)
  const needed = (start + count * wordsOfEntry) * 4
  if (count > maxAces || length < needed || length > bytes.length) throw malformed('its length is wrong')
  const aces: Ace[] = []
  for (let i = 0; i < count; i++) aces.push(decodeAce(whole.subarray(start + i * wordsOfEntry)))
  return level === 0 ? { aces } : { aces, flags: translate(word(words.flags), 0, 1) }
}

/**
 * The structure for gpfs_putacl. Names must be numbers: `invalid` otherwise; `unsupported` for what GPFS has no bit
 * for.
 */
export function encodeGpfsStruct({ aces, flags }: GpfsStruct): Uint8Array {
  if (aces.length > maxAces) throw new StorageError('too-large', `the ACL has more than ${maxAces} entries`)
  const level = flags === undefined ? 0 : 1
  const start = words.flags + level
  const whole = new Uint32Array(start + aces.length * wordsOfEntry)
  whole.set([whole.byteLength, level, versions.nfs4, typeNfs4, aces.length])
  if (flags !== undefined) whole[words.flags] = translate(flags, 1, 0)
  for (const [i, ace] of aces.entries()) whole.set(encodeAce(ace), start + i * wordsOfEntry)
  return new Uint8Array(whole.buffer)
}

/** A copy, because words must be aligned. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const copy = new Uint8Array(bytes.length - (bytes.length % 4))
  copy.set(bytes.subarray(0, copy.length))
  return new Uint32Array(copy.buffer)
}

function decodeAce(entry: Uint32Array): Ace {
  const [type = 0, flags = 0, internal = 0, mask = 0, who = 0] = entry
  const name = types[type]
  if (name === undefined) throw malformed('the type of an entry is unknown')
  if ((flags & ~allFlags) !== 0 || (mask & ~allRights) !== 0) throw malformed('an entry holds unknown bits')
  return makeAce(name, flags, mask, whoOf(internal, flags, who))
}

function whoOf(internal: number, flags: number, who: number): Who {
  if (internal === specialId) return specials[who - 1] ?? { unknown: `${who}@` }
  if (internal !== 0) throw malformed('an entry holds unknown bits')
  return (flags & aceFlag.identifierGroup) !== 0 ? { group: String(who) } : { user: String(who) }
}

function encodeAce(ace: Ace): number[] {
  if ((ace.mask & ~allRights) !== 0 || (ace.flags & ~allFlags) !== 0) {
    throw new StorageError('unsupported', 'an entry of the ACL holds a right or flag that GPFS has no bit for')
  }
  const [internal, who] = idOf(ace.who)
  return [types.indexOf(ace.type), ace.flags, internal, ace.mask, who]
}

function idOf(who: Who): readonly [internal: number, id: number] {
  if (typeof who === 'string') {
    const special = specials.indexOf(who)
    if (special >= 0) return [specialId, special + 1]
  } else if (!('unknown' in who)) {
    const id = numericId('user' in who ? who.user : who.group)
    if (id === undefined) throw new StorageError('invalid', 'the ACL names a user or group that is not known here')
    return [0, id]
  }
  throw new StorageError('unsupported', 'GPFS knows only owner@, group@ and everyone@')
}

function translate(bits: number, from: 0 | 1, to: 0 | 1): number {
  return listFlags.reduce((sum, pair) => ((bits & pair[from]) !== 0 ? sum | pair[to] : sum), 0)
}

function malformed(what: string): StorageError {
  return new StorageError('invalid', `the GPFS ACL is malformed: ${what}`)
}
