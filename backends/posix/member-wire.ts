/** Many members of a directory in one message: few and large values, since each one is cloned. */

import type { EntryWire } from './wire.ts'

/** The text that is kept with a file, or the id under which it may be in the overflow store; undefined for nothing. */
export type KeptWire = string | { readonly overflow: string } | undefined
/** Undefined: there is no such name. */
export type MemberWire = readonly [EntryWire, KeptWire?] | undefined

/** In the order of the names that were asked for. */
export interface PackedMembers {
  /**
   * Content versions, each with a space and what the id has after the number that both begin with; a newline between two,
   * and nothing for what is not there.
   */
  readonly versions: string
  /** Modification and change time of each, and when it was last read. */
  readonly times: BigInt64Array
  /** Type, size, mode, links, ACL and allocated bytes of each, owner and group; -1 where they are not told. */
  readonly numbers: Float64Array
  /** Of those that have any: index and what is kept. */
  readonly kept: ReadonlyArray<readonly [number, NonNullable<KeptWire>]>
  /** Of those that have any: index, target and generation. */
  readonly more: ReadonlyArray<readonly [index: number, target: string | undefined, generation: string | undefined]>
}

const perMember = 8
const perTimes = 3
/** No object was ever read then. */
const untold = -(2n ** 63n)

export function pack(members: readonly MemberWire[]): PackedMembers {
  const versions: string[] = []
  const times = new BigInt64Array(perTimes * members.length)
  const numbers = new Float64Array(perMember * members.length)
  const kept: [number, NonNullable<KeptWire>][] = []
  const more: [number, string | undefined, string | undefined][] = []
  for (const [index, member] of members.entries()) {
    if (!member) {
      versions.push('')
      continue
    }
    const [wire, text] = member
    const [, type, size, modified, changed, version, id, mode, links, acl, accessed, allocated] = wire
    const target = wire[12]
    const generation = wire[13]
    const uid = wire[14] ?? -1
    const gid = wire[15] ?? -1
    versions.push(`${version} ${id.slice(version.indexOf('-'))}`)
    const time = perTimes * index
    times[time] = modified
    times[time + 1] = changed
    times[time + 2] = accessed ?? untold
    const at = perMember * index
    numbers[at] = type
    numbers[at + 1] = size
    numbers[at + 2] = mode
    numbers[at + 3] = links
    numbers[at + 4] = acl
    numbers[at + 5] = allocated ?? -1
    numbers[at + 6] = uid
    numbers[at + 7] = gid
    if (text !== undefined) kept.push([index, text])
    if (target !== undefined || generation !== undefined) more.push([index, target, generation])
  }
  return { versions: versions.join('\n'), times, numbers, kept, more }
}

/** `names`: as they were asked for. */
export function unpack(names: readonly string[], packed: PackedMembers): readonly MemberWire[] {
  const { versions, times, numbers } = packed
  const kept = new Map(packed.kept)
  const more = new Map(packed.more.map(([index, ...rest]) => [index, rest]))
  return versions.split('\n').map((text, index) => {
    const name = names[index]
    if (text === '' || name === undefined) return undefined
    const number = (of: number) => numbers[perMember * index + of] ?? 0
    const time = (of: number) => times[perTimes * index + of] ?? 0n
    const told = (of: number) => (number(of) < 0 ? undefined : number(of))
    const space = text.indexOf(' ')
    const version = text.slice(0, space)
    const id = `${version.slice(0, version.indexOf('-'))}${text.slice(space + 1)}`
    const plain = [
      name,
      number(0),
      number(1),
      time(0),
      time(1),
      version,
      id,
      number(2),
      number(3),
      number(4),
      time(2) === untold ? undefined : time(2),
      told(5),
    ] as const
    const [target, generation] = more.get(index) ?? []
    const uid = told(6)
    if (uid !== undefined) return [[...plain, target, generation, uid, told(7)], kept.get(index)]
    if (generation !== undefined) return [[...plain, target, generation], kept.get(index)]
    return [target === undefined ? plain : [...plain, target], kept.get(index)]
  })
}
