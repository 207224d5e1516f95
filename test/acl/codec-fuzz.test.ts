/** No decoder throws anything but StorageError, and what it takes it writes again. */

import t from 'tap'
import type { Ace } from '../../acl/acl.ts'
import { formatGpfsText, parseGpfsText } from '../../acl/codec/gpfs-text.ts'
import { aclFromJson, aclToJson } from '../../acl/codec/json.ts'
import { formatNfs4Text, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { decodeDacl, decodeNfs4Acl, encodeDacl, encodeNfs4Acl } from '../../acl/codec/nfs4-xattr.ts'
import { decodePosixAcl, encodePosixAcl } from '../../acl/codec/posix-xattr.ts'
import { decodeStoredAcl, encodeStoredAcl } from '../../acl/codec/stored.ts'
import { allowed } from '../../acl/evaluate.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { aclOf, people, randomFrom } from './cast.ts'

const rounds = Number(process.env.ROUNDS ?? 4000)
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
const text = 'A:fd:OWNER@:rwaDdx D:g:cms@desy.de:rxtcy A::bob@desy.de:r U:S:EVERYONE@:w A::BATCH@:r'
const acl = aclOf(text, { owner: 'alice@desy.de', flags: 1 })
const gpfs = aclOf('A:fd:OWNER@:rwaDdx D:g:cms:rxtcy A::DESY\\bob:r A::EVERYONE@:tcy', { dialect: 'gpfs' })
const posix = {
  owner: 7,
  users: [{ id: 1001, permission: 5 }],
  group: 5,
  groups: [{ id: 2000, permission: 7 }],
  mask: 5,
  other: 0,
}

/** A sample, how it is read, and how what was read is written. */
interface Subject {
  readonly name: string
  readonly sample: Uint8Array
  decode(bytes: Buffer): unknown
}

const same = (bytes: Buffer, again: Uint8Array) => {
  if (!bytes.equals(again)) throw new Error('what was read is written otherwise')
}
const usable = (aces: readonly Ace[]) => allowed({ ...acl, aces }, people.bob, 0xffffffff)

const subjects: readonly Subject[] = [
  { name: 'nfs4 xattr', sample: encodeNfs4Acl(acl.aces), decode: (bytes) => usable(decodeNfs4Acl(bytes)) },
  {
    name: 'dacl xattr',
    sample: encodeDacl({ flags: 1, aces: acl.aces }),
    decode: (bytes) => {
      const dacl = decodeDacl(bytes)
      // The group flag on a special name is the one thing that is not kept.
      const again = decodeDacl(encodeDacl(dacl))
      same(encodeDacl(dacl), encodeDacl(again))
    },
  },
  { name: 'posix xattr', sample: encodePosixAcl(posix), decode: (bytes) => encodePosixAcl(decodePosixAcl(bytes)) },
  {
    name: 'stored',
    sample: encodeStoredAcl(acl),
    decode: (bytes) => same(bytes, encodeStoredAcl(decodeStoredAcl(bytes))),
  },
  {
    name: 'nfs4 text',
    sample: Buffer.from(text),
    decode: (bytes) => usable(parseNfs4Text(formatNfs4Text(parseNfs4Text(bytes.toString(), 'directory')), 'directory')),
  },
  {
    name: 'gpfs text',
    sample: Buffer.from(formatGpfsText(gpfs)),
    decode: (bytes) => parseGpfsText(formatGpfsText(parseGpfsText(bytes.toString('latin1')).acl)),
  },
  {
    name: 'json',
    sample: Buffer.from(JSON.stringify(aclToJson(acl))),
    decode: (bytes) => aclToJson(aclFromJson(parsed(bytes))),
  },
]

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    // Text that is no JSON never reaches the codec; its letters may still stand for a value of any shape.
    return {
      aces: [...bytes].map((byte) => (byte % 3 === 0 ? byte : { type: 'allow', who: String(byte), rights: 'r' })),
    }
  }
}

t.test(`no decoder throws anything but StorageError (SEED=${seed})`, async (t) => {
  const random = randomFrom(seed)
  for (const { name, sample, decode } of subjects) {
    decode(Buffer.from(sample))
    let taken = 0
    for (let i = 0; i < rounds; i++) {
      const input = i % 3 === 0 ? noise(random) : mutated(random, sample)
      try {
        decode(input)
        taken++
      } catch (error) {
        if (error instanceof StorageError && error.code !== 'internal') continue
        t.fail(`${name}, round ${i}: ${error} on ${input.toString('hex')}`)
        return
      }
    }
    t.pass(`${name}: ${taken} of ${rounds} were taken`)
  }
})

function noise(random: (below: number) => number): Buffer {
  return Buffer.from(Array.from({ length: random(120) }, () => random(256)))
}

/** Cut, longer, or with some bytes changed: most of it still makes sense. */
function mutated(random: (below: number) => number, sample: Uint8Array): Buffer {
  const bytes = Buffer.from(sample)
  for (let n = 1 + random(3); n > 0; n--) bytes[random(bytes.length)] = random(3) === 0 ? random(256) : random(8)
  const kind = random(4)
  if (kind === 0) return bytes.subarray(0, random(bytes.length))
  return kind === 1 ? Buffer.concat([bytes, noise(random).subarray(0, random(8))]) : bytes
}
